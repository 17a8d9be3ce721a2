"""Tacotron 2's decoder exactly as in the paper, step by step. The fast decoder is compared with it.

Nothing is moved out of the loop, folded, fused or given a gradient by hand. As in NVIDIA/tacotron2, the hidden states
of both LSTMs recur after dropout.

Shapes: B batch, N tokens, E memory width, T decoder steps, R frames per step, M mel bins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.model.decoder import Decoder, DecoderOutput, Masks


class PlainDecoder(Decoder):
    """The same parameters and the same outputs."""

    def forward(
        self, memory: Tensor, mask: Tensor, mels: Tensor, frames: Tensor, masks: Masks | None = None
    ) -> DecoderOutput:
        """memory: (B, N, E), mask: (B, N), mels: (B, T*R, M), frames: (B,)."""
        batch, tokens, width = memory.shape
        r = self.reduction
        attention = self.attention
        steps = mels.shape[1] // self.reduction
        masks = masks or self.draw_masks(steps, mels.transpose(0, 1))
        projected = attention.memory(memory)  # (B, N, A)
        frame, context = memory.new_zeros(batch, r * self.n_mels), memory.new_zeros(batch, width)
        hidden = cell = memory.new_zeros(batch, attention.lstm.hidden_size)
        decoder_hidden = decoder_cell = memory.new_zeros(batch, self.lstm.hidden_size)
        weights = cumulative = memory.new_zeros(batch, tokens)
        mel, gate, alignment = [], [], []
        for t in range(steps):
            x = frame
            for layer, drawn in zip(self.prenet.layers, masks.prenet, strict=True):
                x = _drop(torch.relu(layer(x)), drawn, t)
            hidden, cell = attention.lstm(torch.cat([x, context], 1), (hidden, cell))
            hidden = _drop(hidden, masks.attention, t)
            seen = torch.stack([weights, cumulative], 1)  # (B, 2, N)
            kernel = attention.location_conv.weight
            filtered = F.conv1d(seen, kernel, padding=(kernel.shape[2] - 1) // 2)  # (B, F, N)
            location = attention.location_dense(filtered.transpose(1, 2))  # (B, N, A)
            energy = attention.energy(torch.tanh(attention.query(hidden)[:, None] + projected + location))[:, :, 0]
            weights = torch.softmax(energy.masked_fill(~mask, -torch.inf), 1)
            cumulative = cumulative + weights
            context = torch.bmm(weights[:, None], memory)[:, 0]
            state = (decoder_hidden, decoder_cell)
            decoder_hidden, decoder_cell = self.lstm(torch.cat([hidden, context], 1), state)
            decoder_hidden = _drop(decoder_hidden, masks.decoder, t)
            both = torch.cat([decoder_hidden, context], 1)
            mel.append(self.mel(both).reshape(batch, r, self.n_mels))
            gate.append(self.gate(both)[:, 0])
            alignment.append(weights)
            frame = mels[:, t * r : (t + 1) * r].reshape(batch, r * self.n_mels)
        true_steps = torch.div(frames + r - 1, r, rounding_mode="floor")
        return DecoderOutput(torch.cat(mel, 1), torch.stack(gate, 1), torch.stack(alignment, 1), true_steps)


def _drop(x: Tensor, masks: Tensor | None, t: int) -> Tensor:
    return x if masks is None else x * masks[t]
