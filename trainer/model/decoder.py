"""Memory to mel frames: prenet, attention recurrence, decoder LSTM, projections (arXiv:1712.05884, section 2.2).

With a teacher's frames only the attention recurrence runs step by step; prenet, decoder LSTM and
projections run over all steps at once. One difference to NVIDIA/tacotron2 follows from it: in
training, dropout of the decoder LSTM acts on its outputs, not on the state that recurs.

Shapes: B batch, N tokens, E memory width, T decoder steps, R frames per step, M mel bins.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import ModelConfig
from trainer.model.attention import AttentionRecurrence
from trainer.model.layers import linear


@dataclass(frozen=True)
class DecoderOutput:
    mel: Tensor  # (B, T*R, M)
    gate_logits: Tensor  # (B, T); positive: this is the last step
    attention: Tensor  # (B, T, N)
    steps: Tensor  # (B,) true T of each utterance


class Prenet(nn.Module):
    """Two ReLU layers whose dropout stays on at inference (arXiv:1712.05884, section 2.2)."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([linear(width_in, width, bias=False), linear(width, width, bias=False)])
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.dropout(F.relu(layer(x)), self.dropout, training=True)
        return x


class Decoder(nn.Module):
    def __init__(self, config: ModelConfig, n_mels: int) -> None:
        super().__init__()
        self.reduction, self.n_mels = config.reduction, n_mels
        self.dropout = config.decoder_dropout
        self.prenet = Prenet(n_mels * config.reduction, config.prenet_dim, config.prenet_dropout)
        self.attention = AttentionRecurrence(config)
        self.lstm = nn.LSTM(config.attention_rnn_dim + config.encoder_dim, config.decoder_rnn_dim)
        width = config.decoder_rnn_dim + config.encoder_dim
        self.mel = linear(width, n_mels * config.reduction)
        self.gate = linear(width, 1, gain="sigmoid")

    def forward(self, memory: Tensor, mask: Tensor, mels: Tensor, frames: Tensor) -> DecoderOutput:
        """Teacher-forced. memory: (B, N, E), mask: (B, N), mels: (B, T*R, M), frames: (B,) true lengths."""
        batch = mels.shape[0]
        groups = mels.reshape(batch, -1, self.reduction * self.n_mels).transpose(0, 1)  # (T, B, R*M)
        go = groups.new_zeros(1, batch, groups.shape[2])
        prenet = self.prenet(torch.cat([go, groups[:-1]]))  # (T, B, P)
        hidden, context, weights = self.attention(prenet, self.attention.prepare(memory, mask))
        decoded = self.lstm(torch.cat([hidden, context], 2))[0]
        decoded = F.dropout(decoded, self.dropout, self.training)
        mel, gate = self._project(decoded, context)
        steps = torch.div(frames + self.reduction - 1, self.reduction, rounding_mode="floor")
        return DecoderOutput(mel, gate, weights.transpose(0, 1), steps)

    def _project(self, decoded: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(T, B, .) each -> mel (B, T*R, M), gate logits (B, T)."""
        both = torch.cat([decoded, context], 2).transpose(0, 1)
        mel: Tensor = self.mel(both)
        return mel.reshape(both.shape[0], -1, self.n_mels), self.gate(both)[:, :, 0]

    @torch.no_grad()
    def infer(self, memory: Tensor, mask: Tensor, max_steps: Tensor, gate_threshold: float = 0.5) -> DecoderOutput:
        """Free-running: each step is fed what the last one said.

        max_steps: (B,) where to stop an utterance whose gate never fires; its `steps` then equal it.
        """
        prepared = self.attention.prepare(memory, mask)
        recurrent = self.attention.recurrent_weight()
        state, lstm_state = self.attention.start(prepared), None
        frame = memory.new_zeros(memory.shape[0], self.reduction * self.n_mels)
        steps = max_steps.clone().to(memory.device)
        running = torch.ones_like(steps, dtype=torch.bool)
        mels, gates, weights = [], [], []
        for t in range(int(max_steps.max())):
            state = self.attention.step(
                state, self.attention.input_product(self.prenet(frame)), recurrent, prepared, None
            )
            decoded, lstm_state = self.lstm(torch.cat([state.hidden, state.context], 1)[None], lstm_state)
            mel, gate = self._project(decoded, state.context[None])
            frame = mel.reshape(memory.shape[0], -1)
            mels.append(mel)
            gates.append(gate)
            weights.append(state.weights)
            stops = running & (torch.sigmoid(gate[:, 0].float()) > gate_threshold) & (t + 1 < steps)
            steps = torch.where(stops, t + 1, steps)
            running = running & (t + 1 < steps)
            if not running.any():
                break
        return DecoderOutput(torch.cat(mels, 1), torch.cat(gates, 1), torch.stack(weights, 1), steps)
