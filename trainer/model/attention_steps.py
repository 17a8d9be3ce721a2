"""The steps of location-sensitive attention, with a hand-written backward pass.

The backward loop computes only what the step before needs; each weight's gradient is one product after the loop.

Energies: v . tanh(z) = 2v . sigmoid(2z) - sum(v), and softmax ignores the constant. A sigmoid takes a ninth of the
time of a tanh on a CPU, so `Memory` holds doubled values.

Shapes: B batch, T decoder steps, C steps of a chunk, N tokens, E memory width, H attention LSTM width, A attention
width, K location kernel.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.model.lstm import LstmTape, chunks, weight_gradient
from trainer.model.matrix_products import Product, small_products

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
softmax_backward = torch.ops.aten._softmax_backward_data.out


@dataclass(frozen=True)
class Memory:
    """The encoder's output, prepared once per batch, and the attention's weights; all doubled except `values`."""

    values: Tensor  # (B, N, E)
    projected: Tensor  # (B, N, A)
    padding: Tensor  # (B, N), 0 at tokens and -inf at padding
    location: Tensor  # (A, 2K) from previous and cumulative weights around a token
    query: Tensor  # (A, H)
    energy: Tensor  # (A,)


class Windows:
    """The neighbourhood of each token in the `previous` and `cumulative` weights, (B, N, 2, K), and its gradient.

    Gathering is one strided copy, its backward one strided sum: the convolution becomes a matrix product.
    """

    def __init__(self, like: Tensor, batch: int, tokens: int, kernel: int) -> None:
        self.shape = (batch, tokens, 2, kernel)
        self.kernel = kernel
        self.pad = kernel // 2
        width = tokens + kernel - 1
        self._padded = like.new_zeros(batch, 2, width)
        self._inside = self._padded[:, :, self.pad : self.pad + tokens]  # (B, 2, N)
        self._stays = torch.arange(2, device=like.device).to(like.dtype)[:, None]  # of the previous weights, nothing
        self._windows = self._padded.as_strided(self.shape, (2 * width, 1, width, 1))
        self._gathered = like.new_empty(self.shape)
        self.flat = self._gathered.view(batch * tokens, 2 * kernel)
        self._scattered = like.new_zeros(batch, width, 2, kernel)
        self._scattered_inside = self._scattered[:, self.pad : self.pad + tokens]
        # Token n gets the gradient at index k of the window of token n + pad - k. With a mirrored kernel the address
        # grows with k, as strides must.
        strides = (kernel, width * 2 * kernel, 2 * kernel, 2 * kernel + 1)
        self._diagonals = self._scattered.as_strided((2, batch, tokens, kernel), strides)
        self._sums = like.new_empty(2, batch, tokens)
        self._sum_of = self._sums.unbind(0)

    def push(self, weights: Tensor) -> None:
        """The weights of a step, (B, 1, N), become the previous ones, and are added to the cumulative ones."""
        torch.addcmul(weights, self._inside, self._stays, out=self._inside)

    def clear(self) -> None:
        self._padded.zero_()

    def gather(self) -> Tensor:
        """All windows as rows: (B*N, 2K)."""
        self._gathered.copy_(self._windows)
        return self.flat

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
    """The steps of the recurrence over one batch, and what they record for the backward pass.

    gates: (T, B, 4H) the LSTM's input products, overwritten. With `recording` off there is no backward pass, and only
    the last step's energies are kept.
    """

    def __init__(
        self, recording: bool, gates: Tensor, recurrent: Tensor, memory: Memory, keep: Tensor | None, dtype: torch.dtype
    ) -> None:
        steps, batch, width = gates.shape
        tokens = memory.values.shape[1]
        hidden = width // 4
        attention = len(memory.energy)
        self.memory = memory
        self.dtype = dtype
        self.hidden_size = hidden
        self.recurrent = recurrent
        self.lstm = LstmTape(gates, keep)
        self.states = gates.new_zeros(steps + 1, batch, hidden + memory.values.shape[2])  # hidden state, context
        self.weights = gates.new_zeros(steps + 1, batch, tokens)
        self.activations = gates.new_empty(steps if recording else 1, batch, tokens, attention)
        self.windows = Windows(gates, batch, tokens, memory.location.shape[1] // 2)
        self._projected = memory.projected.flatten(0, 1)
        self._padding = memory.padding.flatten()
        self._recurrent = Product(recurrent, batch, dtype)
        self._location = Product(memory.location, batch * tokens, gates.dtype)
        self._query = memory.query.t()
        # Views for each step, all made here: making one takes as long as a small product.
        self._states = self.states.unbind(0)
        self._hidden = self.states[:, :, :hidden].unbind(0)
        self._contexts = self.states[:, :, None, hidden:].unbind(0)  # (B, 1, E)
        self.weight_of = self.weights.unbind(0)
        self._weight_rows = self.weights[:, :, None].unbind(0)
        repeats = 1 if recording else steps
        self.activation_of = self.activations.unbind(0) * repeats
        self._activation_rows = self.activations.flatten(1, 2).unbind(0) * repeats  # (B*N, A)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """States (T, B, H + E), which are hidden state and context, and weights (T, B, N)."""
        return self.states[1:], self.weights[1:]

    def run(self) -> "AttentionTape":
        with small_products():
            for t in range(len(self.lstm.gates)):
                self.step(t)
        return self

    def step(self, t: int) -> None:
        hidden = self._hidden[t + 1]
        weights = self.weight_of[t + 1]
        windows = self.windows
        self.lstm.step(t, self._recurrent, self._states[t], hidden)
        energies = self._location.plus(windows.gather(), self._projected).view(self.activation_of[t].shape)
        energies.add_(torch.mm(hidden, self._query)[:, None])
        torch.sigmoid(energies, out=self.activation_of[t])
        energy = torch.addmv(self._padding, self._activation_rows[t], self.memory.energy)
        torch.softmax(energy.view(weights.shape), 1, out=weights)
        torch.bmm(self._weight_rows[t + 1], self.memory.values, out=self._contexts[t + 1])
        windows.push(self._weight_rows[t + 1])

    def backward(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of states (T, B, H + E) and weights (T, B, N) -> gradients of the inputs of `run_attention`."""
        dstates, dweights = gradients
        backward = _Backward(self, torch.zeros_like(self.states[1:]) if dstates is None else dstates, dweights)
        with small_products():
            backward.run()
        return (*backward.gradients(), None, None)


class _Backward:
    """The backward loop, from the last step to the first, and the weights' gradients after it.

    dstates: (T, B, H + E), dweights: (T, B, N) or None.
    """

    def __init__(self, tape: AttentionTape, dstates: Tensor, dweights: Tensor | None) -> None:
        self.tape = tape
        self.memory = tape.memory
        self.lstm = tape.lstm
        steps, batch, tokens, attention = len(dstates), *tape.activations.shape[1:]
        self._values = self.memory.values.transpose(1, 2).contiguous()  # (B, E, N)
        self._cumulative = tape.weights[:-1].cumsum(0)
        self._recurrent = Product(tape.recurrent.t(), batch, tape.dtype)
        mirrored = self.memory.location.view(attention, 2, -1).flip(2).flatten(1)
        self._location = Product(mirrored.t(), batch * tokens, tape.activations.dtype)
        # What the loop records for the weights' gradients:
        self.totals = torch.empty_like(dstates)  # gradients of the states, including those from the next step
        self.dquery = dstates.new_empty(steps, batch, attention)
        self.dprojected = torch.zeros_like(self.memory.projected)
        self.dlocation = torch.zeros_like(self.memory.location)
        self.denergy = torch.zeros_like(self.memory.energy)
        # Views for each step, as in the tape, and what a step passes to the one before:
        hidden = tape.hidden_size
        self._dstate_of = dstates.unbind(0)
        self._dtotal_of = self.totals.unbind(0)
        self._dhidden_of = self.totals[:, :, :hidden].unbind(0)
        self._dcontext_of = self.totals[:, :, None, hidden:].unbind(0)
        self._dweight_of = None if dweights is None else dweights.unbind(0)
        self._dquery_of = self.dquery.unbind(0)
        self._scratch = torch.empty_like(tape.activations[0])
        self._dnext = torch.zeros_like(dstates[0])
        self._dweight, self._dcumulative = dstates.new_zeros(2, batch, tokens).unbind(0)

    def run(self) -> None:
        self.lstm.start_backward()
        for chunk in chunks(len(self.totals)):
            self._prepare(chunk)
            for t in reversed(chunk):
                self._step(t, t - chunk.start)
            self._add_gradients(chunk)

    def _prepare(self, chunk: range) -> None:
        rows = slice(chunk.start, chunk.stop)
        self.lstm.prepare_backward(chunk)
        self._dactivations = torch.empty_like(self.tape.activations[rows])
        self._denergies = torch.empty_like(self.tape.weights[rows])
        self._dactivation_of = self._dactivations.unbind(0)  # (B, N, A)
        self._dactivation_rows = self._dactivations.flatten(1, 2).unbind(0)  # (B*N, A)
        self._denergy_of = self._denergies.unbind(0)
        self._denergy_columns = self._denergies[..., None].unbind(0)

    def _step(self, t: int, k: int) -> None:
        """k: the index of step `t` in its chunk."""
        tape, memory = self.tape, self.memory
        torch.add(self._dstate_of[t], self._dnext, out=self._dtotal_of[t])
        dweight = torch.bmm(self._dcontext_of[t], self._values).view(self._dweight.shape).add_(self._dweight)
        if self._dweight_of is not None:
            dweight.add_(self._dweight_of[t])
        softmax_backward(dweight, tape.weight_of[t + 1], 1, dweight.dtype, grad_input=self._denergy_of[k])
        torch.mul(self._denergy_columns[k], memory.energy, out=self._scratch)
        sigmoid_backward(self._scratch, tape.activation_of[t], grad_input=self._dactivation_of[k])
        torch.sum(self._dactivation_of[k], 1, out=self._dquery_of[t])
        dprevious, dcumulated = tape.windows.scatter(self._location(self._dactivation_rows[k]))
        self._dcumulative.add_(dcumulated)
        torch.add(self._dcumulative, dprevious, out=self._dweight)
        dhidden = torch.addmm(self._dhidden_of[t], self._dquery_of[t], memory.query)
        self._dnext = self._recurrent(self.lstm.step_backward(t, dhidden))

    def _add_gradients(self, chunk: range) -> None:
        tape = self.tape
        rows = slice(chunk.start, chunk.stop)
        windows = tape.windows.of(tape.weights[rows], self._cumulative[rows])
        self.dlocation.addmm_(self._dactivations.flatten(0, 2).t(), windows)
        self.dprojected.add_(self._dactivations.sum(0))
        self.denergy.addmv_(tape.activations[rows].flatten(0, 2).t(), self._denergies.flatten())

    def gradients(self) -> tuple[Tensor, ...]:
        """For the gates, the recurrent weight, and the memory's values, projection, location, query and energy."""
        tape, hidden = self.tape, self.tape.hidden_size
        return (
            self.lstm.gates,
            weight_gradient(self.lstm.gates, tape.states[:-1], tape.dtype),
            torch.bmm(tape.weights[1:].permute(1, 2, 0), self.totals[:, :, hidden:].transpose(0, 1)),
            self.dprojected,
            self.dlocation,
            torch.mm(self.dquery.flatten(0, 1).t(), tape.states[1:, :, :hidden].flatten(0, 1)),
            self.denergy,
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
    """All teacher-forced steps. gates: (T, B, 4H), overwritten; keep: (T, B, H); the others as in `Memory`.

    The recurrent products are computed in `dtype`, everything else in the precision of the padding.
    """
    gates = gates.to(padding.dtype)
    memory = Memory(values, projected, padding, location, query, energy)
    return AttentionTape(recording, gates, recurrent, memory, keep, dtype).run()
