"""Memory to mel frames: prenet, attention recurrence, decoder LSTM, projections (arXiv:1712.05884, section 2.2).

With a teacher's frames, the attention recurrence and after it the decoder LSTM run step by step; prenet, input products
and projections run over all steps at once. Dropout is that of NVIDIA/tacotron2: the prenet's is always on, that of
both LSTMs acts on the hidden states that recur.

Shapes: B batch, N tokens, E memory width, T decoder steps, R frames per step, M mel bins, P prenet width,
H and H' widths of the attention LSTM and the decoder LSTM.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import ModelConfig
from trainer.model.attention import AttentionRecurrence
from trainer.model.dropout import dropout, keep_mask
from trainer.model.layers import linear
from trainer.model.lstm import run_lstm
from trainer.model.recurrence import Runner

# Decoder steps between two checks whether all utterances have ended, by device type; default 1. On CUDA a check waits
# for the device, which costs more than a few unneeded steps.
CHECK_EVERY = {"cuda": 16}


@dataclass(frozen=True)
class DecoderOutput:
    mel: Tensor  # (B, T*R, M)
    gate_logits: Tensor  # (B, T); positive: this is the last step
    attention: Tensor  # (B, T, N)
    steps: Tensor  # (B,) true T of each utterance


@dataclass(frozen=True)
class Masks:
    """Dropout masks of a teacher-forced pass: 0 where dropped, else 1 / (1 - p). None: no dropout."""

    prenet: tuple[Tensor | None, Tensor | None]  # (T, B, P) for each layer
    attention: Tensor | None  # (T, B, H)
    decoder: Tensor | None  # (T, B, H')


class Prenet(nn.Module):
    """Two ReLU layers whose dropout stays on at inference (arXiv:1712.05884, section 2.2)."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([linear(width_in, width, bias=False), linear(width, width, bias=False)])
        self.width = width
        self.dropout = dropout

    def forward(self, x: Tensor, masks: tuple[Tensor | None, Tensor | None] | None = None) -> Tensor:
        """masks: one per layer; None: drawn here."""
        for i, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            if masks is None:
                x = dropout(x, self.dropout, active=True)
            elif (mask := masks[i]) is not None:
                x = x * mask
        return x


class Decoder(nn.Module):
    def __init__(self, config: ModelConfig, n_mels: int) -> None:
        super().__init__()
        self.reduction = config.reduction
        self.n_mels = n_mels
        self.dropout = config.decoder_dropout
        self.prenet = Prenet(n_mels * config.reduction, config.prenet_dim, config.prenet_dropout)
        self.attention = AttentionRecurrence(config)
        self.lstm = nn.LSTMCell(config.attention_rnn_dim + config.encoder_dim, config.decoder_rnn_dim)
        self.lstm_runner = Runner(run_lstm)
        width = config.decoder_rnn_dim + config.encoder_dim
        self.mel = linear(width, n_mels * config.reduction)
        self.gate = linear(width, 1, gain="sigmoid")

    def forward(
        self, memory: Tensor, mask: Tensor, mels: Tensor, frames: Tensor, masks: Masks | None = None
    ) -> DecoderOutput:
        """Teacher-forced. memory: (B, N, E), mask: (B, N), mels: (B, T*R, M), frames: (B,) true lengths.

        masks: dropout to apply; None: drawn here.
        """
        batch = mels.shape[0]
        groups = mels.reshape(batch, -1, self.reduction * self.n_mels).transpose(0, 1)  # (T, B, R*M)
        masks = masks or self.draw_masks(len(groups), groups)
        go = groups.new_zeros(1, batch, groups.shape[2])
        prenet = self.prenet(torch.cat([go, groups[:-1]]), masks.prenet)  # (T, B, P)
        prepared = self.attention.prepare(memory, mask)
        states, weights = self.attention(prenet, prepared, masks.attention)
        gates = F.linear(states, self.lstm.weight_ih, self.lstm.bias_ih + self.lstm.bias_hh)  # (T, B, 4H')
        wide = torch.promote_types(gates.dtype, torch.float32)
        (decoded,) = self.lstm_runner(gates.dtype, gates.to(wide), self.lstm.weight_hh, masks.decoder)  # (T, B, H')
        mel, gate = self._project(decoded, states[:, :, -memory.shape[2] :])
        steps = torch.div(frames + self.reduction - 1, self.reduction, rounding_mode="floor")
        return DecoderOutput(mel, gate, weights.transpose(0, 1), steps)

    def use_graphs(self) -> None:
        """From now on replay CUDA graphs, captured for each size of batch. The next pass overwrites the outputs."""
        self.attention.runner.use_graphs()
        self.lstm_runner.use_graphs()

    def draw_masks(self, steps: int, like: Tensor) -> Masks:
        """like: (T, B, .), which gives batch size, device and precision."""

        def draw(width: int, probability: float, active: bool) -> Tensor | None:
            return keep_mask((steps, like.shape[1], width), probability, like) if active and probability else None

        prenet, always = self.prenet, True
        return Masks(
            (draw(prenet.width, prenet.dropout, always), draw(prenet.width, prenet.dropout, always)),
            draw(self.attention.lstm.hidden_size, self.attention.dropout, self.training),
            draw(self.lstm.hidden_size, self.dropout, self.training),
        )

    def _project(self, decoded: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(T, B, .) each -> mel (B, T*R, M), gate logits (B, T)."""
        both = torch.cat([decoded, context], 2).transpose(0, 1)
        mel: Tensor = self.mel(both)
        return mel.reshape(both.shape[0], -1, self.n_mels), self.gate(both)[:, :, 0]

    @torch.no_grad()
    def infer(self, memory: Tensor, mask: Tensor, max_steps: Tensor, gate_threshold: float = 0.5) -> DecoderOutput:
        """Free-running: the input of each step is the output of the one before.

        max_steps: (B,) the limit of an utterance whose gate never fires; its `steps` then equal it.
        """
        batch = memory.shape[0]
        limit = int(max_steps.max())
        tape = self.attention.tape(self.attention.prepare(memory, mask), limit)
        lstm_state = None
        frame = memory.new_zeros(batch, self.reduction * self.n_mels)
        steps = max_steps.clone().to(memory.device)
        running = torch.ones_like(steps, dtype=torch.bool)
        check_every = CHECK_EVERY.get(memory.device.type, 1)
        mels, gates = [], []
        for t in range(limit):
            state = tape.step(t, self.attention.input_product(self.prenet(frame)))  # (B, H + E)
            lstm_state = self.lstm(state, lstm_state)
            mel, gate = self._project(lstm_state[0][None], state[None, :, -memory.shape[2] :])
            frame = mel.reshape(batch, -1)
            mels.append(mel)
            gates.append(gate)
            stops = running & (torch.sigmoid(gate[:, 0].float()) > gate_threshold) & (t + 1 < steps)
            steps = torch.where(stops, t + 1, steps)
            running = running & (t + 1 < steps)
            if (t + 1) % check_every == 0 and not running.any():
                break
        longest = int(steps.max())
        weights = tape.weights[1 : longest + 1].transpose(0, 1)
        return DecoderOutput(torch.cat(mels[:longest], 1), torch.cat(gates[:longest], 1), weights, steps)
