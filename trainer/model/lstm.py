"""An LSTM over a whole sequence with a hand-written backward pass (Hochreiter and Schmidhuber 1997).

torch's own LSTM lacks dropout of the hidden state that recurs, as in NVIDIA/tacotron2, and packed weights. The gates'
input products are computed for all steps before the loop; the loop adds the recurrent products; the backward loop
computes the gradients of all gates, and each weight's gradient is one product after it.

Shapes: B batch, T steps, H hidden width, C chunk of steps.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.model.matrix_products import Product

CHUNK = 16  # steps whose factors are computed at once: they fit a core's cache


class Tanh:
    """tanh(x) = 2 sigmoid(2x) - 1 on a CPU, where torch's tanh takes nine times as long as its sigmoid."""

    def __init__(self, like: Tensor) -> None:
        self._minus_one = like.new_full((), -1) if like.device.type == "cpu" else None

    def __call__(self, x: Tensor, out: Tensor) -> Tensor:
        if self._minus_one is None:
            return torch.tanh(x, out=out)
        return torch.add(self._minus_one, torch.add(x, x, out=out).sigmoid_(), alpha=2, out=out)


def chunks(steps: int) -> Iterator[range]:
    """The steps from last to first, in chunks."""
    for end in range(steps, 0, -CHUNK):
        yield range(max(0, end - CHUNK), end)


class LstmTape:
    """The steps of an LSTM, and what they record for the backward pass.

    gates: (T, B, 4H) the input products, in the order i, f, g, o. They are overwritten: each step replaces them by the
    gates' values, and each backward step by the gates' gradients. keep: (T, B, H) dropout mask of the hidden state,
    scaled, or None.
    """

    def __init__(self, gates: Tensor, keep: Tensor | None) -> None:
        steps, batch, width = gates.shape
        self.gates = gates
        self.keep = keep
        self.hidden_size = width // 4
        self.cells = gates.new_zeros(steps + 1, batch, self.hidden_size)
        self.squashed = gates.new_empty(steps, batch, self.hidden_size)  # tanh of the cell
        self._tanh = Tanh(gates)
        self._by_step = gates.unbind(0)
        self._i, self._f, self._g, self._o = (part.unbind(0) for part in gates.chunk(4, 2))
        self._cells = self.cells.unbind(0)
        self._squashed = self.squashed.unbind(0)
        self._keep = None if keep is None else keep.unbind(0)

    def step(self, t: int, recurrent: Product, state: Tensor, hidden: Tensor) -> None:
        """state: (B, K) the recurrent input; hidden: (B, H), the output, written in place."""
        before = recurrent.plus(state, self._by_step[t])
        torch.sigmoid(before, out=self._by_step[t])
        width = self.hidden_size
        self._tanh(before[:, 2 * width : 3 * width], out=self._g[t])
        cell = torch.mul(self._f[t], self._cells[t], out=self._cells[t + 1])
        cell.addcmul_(self._i[t], self._g[t])
        torch.mul(self._o[t], self._tanh(cell, out=self._squashed[t]), out=hidden)
        if self._keep is not None:
            hidden.mul_(self._keep[t])

    def start_backward(self) -> None:
        self._dcell = torch.zeros_like(self._cells[0])

    def prepare_backward(self, chunk: range) -> None:
        """Compute the factors of the gradients for all steps of `chunk` at once."""
        rows = slice(chunk.start, chunk.stop)
        i, f, g, o = self.gates[rows].chunk(4, 2)
        squashed = self.squashed[rows]
        before = self.cells[rows]
        factors = self.gates.new_empty(len(chunk), i.shape[1], 4, self.hidden_size)
        torch.mul(g, i, out=factors[:, :, 0]).mul_(1 - i)
        torch.mul(before, f, out=factors[:, :, 1]).mul_(1 - f)
        torch.mul(i, 1 - g * g, out=factors[:, :, 2])
        torch.mul(squashed, o, out=factors[:, :, 3]).mul_(1 - o)
        to_cell = o * (1 - squashed * squashed)
        if self.keep is not None:
            to_cell.mul_(self.keep[rows])
            factors[:, :, 3].mul_(self.keep[rows])
        self._to_cell = to_cell.unbind(0)
        self._of_cell = factors[:, :, :3].unbind(0)
        self._of_hidden = factors[:, :, 3].unbind(0)
        shape = (len(chunk), i.shape[1], 4, self.hidden_size)
        self._dgates_of_cell = self.gates[rows].view(shape)[:, :, :3].unbind(0)
        self._first = chunk.start

    def step_backward(self, t: int, dhidden: Tensor) -> Tensor:
        """dhidden: (B, H) -> gradients of the gates before their nonlinearities, (B, 4H). After `prepare_backward`."""
        k = t - self._first
        dcell = torch.addcmul(self._dcell, dhidden, self._to_cell[k])
        torch.mul(dcell, self._f[t], out=self._dcell)
        torch.mul(dcell[:, None], self._of_cell[k], out=self._dgates_of_cell[k])
        torch.mul(dhidden, self._of_hidden[k], out=self._o[t])
        return self._by_step[t]


def weight_gradient(dgates: Tensor, states: Tensor, dtype: torch.dtype) -> Tensor:
    """One product over all steps, computed in `dtype`: (T, B, 4H), (T, B, K) -> (4H, K)."""
    product = torch.mm(dgates.flatten(0, 1).to(dtype).t(), states.flatten(0, 1).to(dtype))
    return product.to(dgates.dtype)


class SequenceTape:
    """An LSTM over a whole sequence, with the inputs of `run_lstm`."""

    def __init__(self, dtype: torch.dtype, gates: Tensor, weight: Tensor, keep: Tensor | None) -> None:
        steps, batch, width = gates.shape
        self._lstm = LstmTape(gates, keep)
        self._weight = weight
        self._dtype = dtype
        self._states = gates.new_zeros(steps + 1, batch, width // 4)
        recurrent = Product(weight, batch, dtype)
        by_step = self._states.unbind(0)
        for t in range(steps):
            self._lstm.step(t, recurrent, by_step[t], by_step[t + 1])
        self.outputs: tuple[Tensor, ...] = (self._states[1:],)

    def backward(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (dhidden,) = gradients
        assert dhidden is not None
        lstm = self._lstm
        recurrent = Product(self._weight.t(), dhidden.shape[1], self._dtype)
        dhidden_of = dhidden.unbind(0)
        dnext = torch.zeros_like(dhidden[0])
        lstm.start_backward()
        for chunk in chunks(len(dhidden)):
            lstm.prepare_backward(chunk)
            for t in reversed(chunk):
                dnext = recurrent(lstm.step_backward(t, dhidden_of[t] + dnext))
        return lstm.gates, weight_gradient(lstm.gates, self._states[:-1], self._dtype), None


def run_lstm(dtype: torch.dtype, recording: bool, gates: Tensor, weight: Tensor, keep: Tensor | None) -> SequenceTape:
    """gates: (T, B, 4H) input products, overwritten; weight: (4H, H); keep: (T, B, H) or None -> hidden (T, B, H).

    The recurrent products are computed in `dtype`, everything else in float32, or in float64 where gates are.
    """
    gates = gates.to(torch.promote_types(gates.dtype, torch.float32))
    return SequenceTape(dtype, gates, weight, keep)
