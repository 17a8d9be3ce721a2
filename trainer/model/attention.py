"""Location-sensitive attention and the LSTM around it, the only part that must run step by step.

Per step: attention LSTM state -> query -> energies from query, memory, and the convolved previous and
cumulative weights -> context -> the next step's LSTM input (arXiv:1712.05884, section 2.2;
Chorowski et al. 2015, arXiv:1506.07503). Everything that does not depend on the previous step is
computed once, before the loop: the prenet's part of the LSTM input, the memory's projection, and the
location convolution, combined with the linear layer after it into one convolution from 2 channels. The loop
is in `trainer.model.attention_steps`.

Shapes: B batch, T decoder steps, N tokens, P prenet width, E memory width, H attention LSTM width, A attention
width, K location kernel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import ModelConfig
from trainer.model.attention_steps import Memory, run_attention
from trainer.model.layers import linear
from trainer.model.recurrence import Runner


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
        self.runner = Runner(run_attention)

    def prepare(self, memory: Tensor, mask: Tensor) -> Memory:
        """memory: (B, N, E), mask: (B, N) bool."""
        wide = torch.promote_types(memory.dtype, torch.float32)  # float64 where the model is
        padding = torch.zeros(mask.shape, device=mask.device, dtype=wide).masked_fill(~mask, -torch.inf)
        location = torch.einsum("af,fck->ack", self.location_dense.weight, self.location_conv.weight).flatten(1)
        return Memory(
            values=memory.to(wide),
            projected=2 * self.memory(memory).to(wide),
            padding=padding,
            location=2 * location.to(wide),
            query=2 * self.query.weight,
            energy=2 * self.energy.weight[0],
        )

    def input_product(self, prenet: Tensor) -> Tensor:
        """The part of the LSTM's gates that comes from the teacher's frames: (..., P) -> (..., 4H)."""
        return F.linear(prenet, self.lstm.weight_ih[:, : self.prenet_dim], self.lstm.bias_ih + self.lstm.bias_hh)

    def recurrent_weight(self) -> Tensor:
        """Hidden state and context -> gates, one matrix: (4H, H + E)."""
        return torch.cat([self.lstm.weight_hh, self.lstm.weight_ih[:, self.prenet_dim :]], 1)

    def whole_weight(self) -> Tensor:
        """Prenet, hidden state and context -> gates, one matrix: (4H, P + H + E)."""
        return torch.cat([self.lstm.weight_ih[:, : self.prenet_dim], self.recurrent_weight()], 1)

    def forward(self, prenet: Tensor, memory: Memory, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All steps with the teacher's frames: (T, B, P) -> states (T, B, H + E), weights (T, B, N).

        keep: (T, B, H) dropout mask, scaled. As in NVIDIA's code, dropout acts on the state that recurs.
        """
        gates = self.input_product(prenet)
        states, weights = self.runner(
            gates.dtype,
            gates,
            self.recurrent_weight(),
            memory.values,
            memory.projected,
            memory.location,
            memory.query,
            memory.energy,
            memory.padding,
            keep,
        )
        return states, weights
