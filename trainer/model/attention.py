"""Location-sensitive attention and the recurrence around it, the only part that must run step by step.

Per step: attention LSTM state -> query -> energies from query, memory, and the convolved previous and
cumulative weights -> context -> the next step's LSTM input (arXiv:1712.05884, section 2.2;
Chorowski et al. 2015, arXiv:1506.07503). Everything that does not depend on the previous step is
computed once, before the loop: the prenet's part of the LSTM input, the memory's projection, and the
location convolution folded with the linear layer behind it into one convolution from 2 channels. The way
back is written by hand; it leaves to the loop only the chain of gradients, and makes those of the weights
as one product each behind it.

Energies: v . tanh(z) = 2v . sigmoid(2z) - sum(v), and softmax does not see the constant. A sigmoid takes a
ninth of the time of a tanh on a CPU, so `Memory` holds everything doubled.

Shapes: B batch, T decoder steps, N tokens, E memory width, H attention LSTM width, A attention width,
K location kernel.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.config import ModelConfig
from trainer.model.layers import linear
from trainer.model.lstm import LstmTape, chunks, weight_gradient
from trainer.model.products import Product, small_products
from trainer.model.recurrence import Runner

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
softmax_backward = torch.ops.aten._softmax_backward_data.out


@dataclass(frozen=True)
class Memory:
    """What attention looks at, prepared once per batch, and its weights; each doubled but `values`."""

    values: Tensor  # (B, N, E)
    projected: Tensor  # (B, N, A)
    padding: Tensor  # (B, N), 0 at tokens and -inf at padding
    location: Tensor  # (A, 2K) from previous and cumulative weights around a token
    query: Tensor  # (A, H)
    energy: Tensor  # (A,)


class Windows:
    """Each token's neighbourhood in its row of `previous` and `cumulative` weights, (B, N, 2, K), and back.

    Both ways are one strided copy or sum, so that the convolution becomes a product.
    """

    def __init__(self, like: Tensor, batch: int, tokens: int, kernel: int) -> None:
        self.shape, self.kernel, self.pad = (batch, tokens, 2, kernel), kernel, kernel // 2
        width = tokens + kernel - 1
        self._padded = like.new_zeros(batch, 2, width)
        self.previous, self.cumulative = self._padded[:, :, self.pad : self.pad + tokens].unbind(1)  # (B, N) each
        self._windows = self._padded.as_strided(self.shape, (2 * width, 1, width, 1))
        self._gathered = like.new_empty(self.shape)
        self._flat = self._gathered.view(batch * tokens, 2 * kernel)
        self._scattered = like.new_zeros(batch, width, 2, kernel)
        self._scattered_inside = self._scattered[:, self.pad : self.pad + tokens]
        # Token n gets from token n + pad - k what that one's window holds at k. With the kernel mirrored the
        # address grows with k, as strides must.
        strides = (kernel, width * 2 * kernel, 2 * kernel, 2 * kernel + 1)
        self._diagonals = self._scattered.as_strided((2, batch, tokens, kernel), strides)
        self._sums = like.new_empty(2, batch, tokens)
        self._sum_of = self._sums.unbind(0)

    def gather(self) -> Tensor:
        """All windows as rows: (B*N, 2K)."""
        self._gathered.copy_(self._windows)
        return self._flat

    def scatter(self, dwindows: Tensor) -> tuple[Tensor, ...]:
        """Gradients of mirrored windows (B*N, 2K) -> of the previous and the cumulative weights, (B, N) each."""
        self._scattered_inside.copy_(dwindows.view(self.shape))
        torch.sum(self._diagonals, 3, out=self._sums)
        return self._sum_of

    def of(self, previous: Tensor, cumulative: Tensor) -> Tensor:
        """The windows of many steps at once: (C, B, N) each -> (C*B*N, 2K)."""
        both = F.pad(torch.stack([previous, cumulative], 2), (self.pad, self.pad))  # (C, B, 2, N + K - 1)
        return both.unfold(3, self.kernel, 1).transpose(2, 3).reshape(-1, 2 * self.kernel)


class AttentionTape:
    """The steps of the recurrence over one batch, and what they leave behind for the way back.

    gates: (T, B, 4H) the LSTM's input products, consumed. With `recording` off nothing can go back, and only
    the last step's energies are kept.
    """

    def __init__(
        self, recording: bool, gates: Tensor, recurrent: Tensor, memory: Memory, keep: Tensor | None, dtype: torch.dtype
    ) -> None:
        steps, batch, width = gates.shape
        tokens, hidden, attention = memory.values.shape[1], width // 4, len(memory.energy)
        self.memory, self.dtype, self.hidden_size, self.recurrent = memory, dtype, hidden, recurrent
        self.lstm = LstmTape(gates, keep)
        self.states = gates.new_zeros(steps + 1, batch, hidden + memory.values.shape[2])  # hidden state, context
        self.weights = gates.new_zeros(steps + 1, batch, tokens)
        self.activations = gates.new_empty(steps if recording else 1, batch, tokens, attention)
        self._windows = Windows(gates, batch, tokens, memory.location.shape[1] // 2)
        self._projected, self._padding = memory.projected.flatten(0, 1), memory.padding.flatten()
        self._recurrent = Product(recurrent, batch, dtype)
        self._location = Product(memory.location, batch * tokens, gates.dtype)
        self._query = memory.query.t()
        # Views of each step's part: made here at once, since making one takes as long as a small product.
        self._states, self._hidden = self.states.unbind(0), self.states[:, :, :hidden].unbind(0)
        self._contexts = self.states[:, :, None, hidden:].unbind(0)  # (B, 1, E)
        self._weights, self._weight_rows = self.weights.unbind(0), self.weights[:, :, None].unbind(0)
        repeats = 1 if recording else steps
        self._activations = self.activations.unbind(0) * repeats
        self._activation_rows = self.activations.flatten(1, 2).unbind(0) * repeats  # (B*N, A)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """States (T, B, H + E): hidden state, context; and weights (T, B, N)."""
        return self.states[1:], self.weights[1:]

    def run(self) -> "AttentionTape":
        with small_products():
            for t in range(len(self.lstm.gates)):
                self.step(t)
        return self

    def step(self, t: int, gates: Tensor | None = None) -> Tensor:
        """gates: (B, 4H), the step's input product, where the tape was made without -> state (B, H + E)."""
        if gates is not None:
            self.lstm.gates[t] = gates
        hidden, weights, windows = self._hidden[t + 1], self._weights[t + 1], self._windows
        self.lstm.step(t, self._recurrent, self._states[t], hidden)
        energies = self._location.plus(windows.gather(), self._projected).view(self._activations[t].shape)
        energies.add_(torch.mm(hidden, self._query)[:, None])
        torch.sigmoid(energies, out=self._activations[t])
        energy = torch.addmv(self._padding, self._activation_rows[t], self.memory.energy)
        torch.softmax(energy.view(weights.shape), 1, out=weights)
        torch.bmm(self._weight_rows[t + 1], self.memory.values, out=self._contexts[t + 1])
        windows.previous.copy_(weights)
        windows.cumulative.add_(weights)
        return self._states[t + 1]

    def back(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Of states (T, B, H + E) and weights (T, B, N) -> of the inputs of `run_attention`."""
        dstates, dweights = gradients
        dstates = torch.zeros_like(self.states[1:]) if dstates is None else dstates
        memory, hidden, dgates = self.memory, self.hidden_size, self.lstm.gates
        recurrent_back, location_back = self._products_back()
        values = memory.values.transpose(1, 2).contiguous()  # (B, E, N)
        cumulative = self.weights[:-1].cumsum(0)

        totals = torch.empty_like(dstates)  # with what comes back from the next step
        dstate_of, dtotal_of, dhidden_of = dstates.unbind(0), totals.unbind(0), totals[:, :, :hidden].unbind(0)
        dcontext_of = totals[:, :, None, hidden:].unbind(0)
        dweight_of = None if dweights is None else dweights.unbind(0)
        dquery = dstates.new_empty(len(dstates), dstates.shape[1], len(memory.energy))
        dquery_of = dquery.unbind(0)
        dprojected, dlocation = torch.zeros_like(memory.projected), torch.zeros_like(memory.location)
        denergy_weight = torch.zeros_like(memory.energy)
        scratch, dnext = torch.empty_like(self.activations[0]), torch.zeros_like(dstates[0])
        dcumulative, dweight_next = torch.zeros_like(self.weights[0]), torch.zeros_like(self.weights[0])
        self.lstm.start_back()
        for chunk in chunks(len(dstates)):
            rows = slice(chunk.start, chunk.stop)
            self.lstm.enter(chunk)
            dactivations, denergies = torch.empty_like(self.activations[rows]), torch.empty_like(self.weights[rows])
            dactivation_of, dactivation_rows = dactivations.unbind(0), dactivations.flatten(1, 2).unbind(0)
            denergy_of, denergy_columns = denergies.unbind(0), denergies[..., None].unbind(0)
            with small_products():
                for t in reversed(chunk):
                    k = t - chunk.start
                    torch.add(dstate_of[t], dnext, out=dtotal_of[t])
                    dweight = torch.bmm(dcontext_of[t], values).view(dweight_next.shape).add_(dweight_next)
                    if dweight_of is not None:
                        dweight.add_(dweight_of[t])
                    softmax_backward(dweight, self._weights[t + 1], 1, dweight.dtype, grad_input=denergy_of[k])
                    torch.mul(denergy_columns[k], memory.energy, out=scratch)
                    sigmoid_backward(scratch, self._activations[t], grad_input=dactivation_of[k])
                    torch.sum(dactivation_of[k], 1, out=dquery_of[t])
                    dprevious, dcumulated = self._windows.scatter(location_back(dactivation_rows[k]))
                    dcumulative.add_(dcumulated)
                    torch.add(dcumulative, dprevious, out=dweight_next)
                    dhidden = torch.addmm(dhidden_of[t], dquery_of[t], memory.query)
                    dnext = recurrent_back(self.lstm.step_back(t, dhidden))
            flat = dactivations.flatten(0, 2)
            dlocation.addmm_(flat.t(), self._windows.of(self.weights[rows], cumulative[rows]))
            dprojected.add_(dactivations.sum(0))
            denergy_weight.addmv_(self.activations[rows].flatten(0, 2).t(), denergies.flatten())
        return (
            dgates,
            weight_gradient(dgates, self.states[:-1], self.dtype),
            torch.bmm(self.weights[1:].permute(1, 2, 0), totals[:, :, hidden:].transpose(0, 1)),
            dprojected,
            dlocation,
            torch.mm(dquery.flatten(0, 1).t(), self.states[1:, :, :hidden].flatten(0, 1)),
            denergy_weight,
            None,
            None,
        )

    def _products_back(self) -> tuple[Product, Product]:
        _, batch, tokens, attention = self.activations.shape
        mirrored = self.memory.location.view(attention, 2, -1).flip(2).flatten(1)
        return (
            Product(self.recurrent.t(), batch, self.dtype),
            Product(mirrored.t(), batch * tokens, self.activations.dtype),
        )


def run_attention(
    dtype: torch.dtype,
    recording: bool,
    gates: Tensor,
    recurrent: Tensor,
    values: Tensor,
    projected: Tensor,
    location: Tensor,
    query: Tensor,
    energy: Tensor,
    padding: Tensor,
    keep: Tensor | None,
) -> AttentionTape:
    """All steps with the teacher's frames. gates: (T, B, 4H), consumed; the others as in `Memory`; keep: (T, B, H)."""
    memory = Memory(values, projected, padding, location, query, energy)
    return AttentionTape(recording, gates, recurrent, memory, keep, dtype).run()


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
        wide = torch.promote_types(memory.dtype, torch.float32)  # at least; float64 where the model is
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
        """The part of the LSTM's gates that the teacher's frames decide: (..., prenet) -> (..., 4H)."""
        return F.linear(prenet, self.lstm.weight_ih[:, : self.prenet_dim], self.lstm.bias_ih + self.lstm.bias_hh)

    def recurrent_weight(self) -> Tensor:
        """Hidden state and context -> gates, one matrix: (4H, H + E)."""
        return torch.cat([self.lstm.weight_hh, self.lstm.weight_ih[:, self.prenet_dim :]], 1)

    @torch.no_grad()
    def tape(self, memory: Memory, steps: int) -> AttentionTape:
        """For steps that are fed one by one, without a way back."""
        gates = memory.padding.new_zeros(steps, len(memory.padding), 4 * self.lstm.hidden_size)
        return AttentionTape(False, gates, self.recurrent_weight(), memory, None, gates.dtype)

    def forward(self, prenet: Tensor, memory: Memory, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All steps with the teacher's frames: (T, B, P) -> states (T, B, H + E), weights (T, B, N).

        keep: (T, B, H) dropout mask, already scaled. As in NVIDIA's code the dropped state is what recurs.
        """
        gates = self.input_product(prenet)
        states, weights = self.runner(
            gates.dtype,
            gates.to(memory.padding.dtype),
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
