"""Location-sensitive attention and the recurrence around it, the only part that must run step by step.

Per step: attention LSTM state -> query -> energies from query, memory, and the convolved previous and
cumulative weights -> context -> the next step's LSTM input (arXiv:1712.05884, section 2.2;
Chorowski et al. 2015, arXiv:1506.07503). Everything that does not depend on the previous step is
computed once, before the loop: the prenet's part of the LSTM input, the memory's projection, and the
location convolution folded with the linear layer behind it into one convolution from 2 channels.

Shapes: B batch, T decoder steps, N tokens, E memory width, H attention LSTM width, A attention width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import ModelConfig
from trainer.model.layers import linear


@dataclass(frozen=True)
class Memory:
    """What attention looks at, prepared once per batch."""

    values: Tensor  # (B, N, E)
    projected: Tensor  # (B, A, N)
    padding: Tensor  # (B, N) float32 or float64, 0 at tokens and -inf at padding
    location_kernel: Tensor  # (A, 2, K)


@dataclass(frozen=True)
class AttentionState:
    """Carried from step to step."""

    hidden: Tensor  # (B, H)
    cell: Tensor  # (B, H)
    context: Tensor  # (B, E)
    weights: Tensor  # (B, N)
    cumulative: Tensor  # (B, N)


class AttentionRecurrence(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.lstm = nn.LSTMCell(config.prenet_dim + config.encoder_dim, config.attention_rnn_dim)
        self.query = linear(config.attention_rnn_dim, config.attention_dim, bias=False, gain="tanh")
        self.memory = linear(config.encoder_dim, config.attention_dim, bias=False, gain="tanh")
        self.location_conv = nn.Conv1d(2, config.location_filters, config.location_kernel, bias=False)
        self.location_dense = linear(config.location_filters, config.attention_dim, bias=False, gain="tanh")
        self.energy = linear(config.attention_dim, 1, bias=False)
        self.prenet_dim = config.prenet_dim
        self.dropout = config.attention_dropout

    def prepare(self, memory: Tensor, mask: Tensor) -> Memory:
        """memory: (B, N, E), mask: (B, N) bool."""
        wide = torch.promote_types(memory.dtype, torch.float32)  # at least; float64 where the model is
        padding = torch.zeros(mask.shape, device=mask.device, dtype=wide).masked_fill(~mask, -torch.inf)
        kernel = torch.einsum("af,fck->ack", self.location_dense.weight, self.location_conv.weight)
        return Memory(memory, self.memory(memory).transpose(1, 2).contiguous(), padding, kernel)

    def start(self, memory: Memory) -> AttentionState:
        batch, tokens, width = memory.values.shape
        zeros = memory.values.new_zeros
        hidden = self.lstm.hidden_size
        # The cumulative weights grow to T: too large for the precision of bf16.
        weights = torch.zeros(batch, tokens, device=memory.values.device, dtype=memory.padding.dtype)
        return AttentionState(zeros(batch, hidden), zeros(batch, hidden), zeros(batch, width), weights, weights)

    def input_product(self, prenet: Tensor) -> Tensor:
        """The part of the LSTM's gates that the teacher's frames decide: (..., prenet) -> (..., 4H)."""
        return F.linear(prenet, self.lstm.weight_ih[:, : self.prenet_dim], self.lstm.bias_ih + self.lstm.bias_hh)

    def recurrent_weight(self) -> Tensor:
        """Context and hidden state -> gates, one matrix: (4H, E + H)."""
        return torch.cat([self.lstm.weight_ih[:, self.prenet_dim :], self.lstm.weight_hh], 1)

    def step(
        self, state: AttentionState, input_gates: Tensor, recurrent: Tensor, memory: Memory, keep: Tensor | None
    ) -> AttentionState:
        """input_gates: (B, 4H) from `input_product`; keep: (B, H) dropout mask, already scaled, or None."""
        gates = torch.addmm(input_gates, torch.cat([state.context, state.hidden], 1), recurrent.t())
        i, f, g, o = gates.chunk(4, 1)
        cell = torch.sigmoid(f) * state.cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        if keep is not None:
            hidden = hidden * keep
        location = F.conv1d(
            torch.stack([state.weights, state.cumulative], 1),
            memory.location_kernel,
            padding=memory.location_kernel.shape[2] // 2,
        )  # (B, A, N)
        energies = torch.tanh(memory.projected + location + self.query(hidden)[:, :, None])
        energy = torch.matmul(self.energy.weight, energies)[:, 0, :]  # (B, N)
        weights = torch.softmax(energy.to(memory.padding.dtype) + memory.padding, 1)
        context = torch.bmm(weights[:, None, :].to(memory.values.dtype), memory.values)[:, 0, :]
        return AttentionState(hidden, cell, context, weights, state.cumulative + weights)

    def forward(self, prenet: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """All steps with the teacher's frames: (T, B, P) -> hidden (T, B, H), context (T, B, E), weights (T, B, N)."""
        gates = self.input_product(prenet).unbind(0)
        recurrent = self.recurrent_weight()
        keep = self.dropout_masks(prenet.shape[0], prenet.shape[1], prenet)
        state = self.start(memory)
        hidden, context, weights = [], [], []
        for t, input_gates in enumerate(gates):
            state = self.step(state, input_gates, recurrent, memory, None if keep is None else keep[t])
            hidden.append(state.hidden)
            context.append(state.context)
            weights.append(state.weights)
        return torch.stack(hidden), torch.stack(context), torch.stack(weights)

    def dropout_masks(self, steps: int, batch: int, like: Tensor) -> tuple[Tensor, ...] | None:
        """One mask per step, drawn before the loop. As in NVIDIA's code the dropped state is what recurs."""
        if not self.training or self.dropout == 0:
            return None
        ones = torch.ones(steps, batch, self.lstm.hidden_size, device=like.device, dtype=like.dtype)
        return F.dropout(ones, self.dropout).unbind(0)
