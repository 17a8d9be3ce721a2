"""Free-running decoding: the input of each step is the output of the one before (arXiv:1712.05884, section 2.2).

Only what such a step needs: no gradient, and no tensor made on the way. All that a step reads or writes is in buffers
made before the first one, and each product is bound to its tensors. The steps of a block write to slots of their own;
then the block is copied, and the slots are used again. So a block can be captured as a CUDA graph and replayed.

Shapes: B batch, N tokens, E memory width, S steps of a block, R frames per step, M mel bins, P prenet width, H and H'
widths of the attention LSTM and the decoder LSTM, A attention width, K location kernel.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from trainer.model.attention_steps import Memory, Windows
from trainer.model.cuda_graphs import CudaCapture, Kept, free_unused
from trainer.model.dropout import draw_keep_masks
from trainer.model.matrix_products import Product, small_products

log = logging.getLogger(__name__)

STEPS = 16  # of a block
# Steps between two checks whether all utterances have ended, by device type; default 1. On CUDA a check waits for the
# device, which costs more than a few unneeded steps.
CHECK_EVERY = {"cuda": STEPS}
# Tokens: texts are padded to a multiple, by device type; default 1. Few sizes are then captured.
BUCKETS = {"cuda": 32}
SIZES = 16  # graphs to keep
LARGE = 2**20  # elements of a weight from which packing it pays for one that is used hundreds of times


@dataclass(frozen=True)
class StepWeights:
    """Of one decoder, in the order in which a step's buffers hold the inputs. The rows of gates: i, f, o, g."""

    prenet_in: Tensor  # (P, R*M)
    prenet_out: Tensor  # (P, P)
    attention: Tensor  # (4H, P + H + E) from prenet, hidden state and context
    attention_bias: Tensor  # (4H,)
    decoder: Tensor  # (4H', H + E + H') from the attention's hidden state, context, and own hidden state
    decoder_bias: Tensor  # (4H',)
    output: Tensor  # (R*M + 1, E + H') from context and the decoder's hidden state to the frames and the gate
    output_bias: Tensor  # (R*M + 1,)


def gates_in_order(x: Tensor) -> Tensor:
    """torch's rows i, f, g, o -> i, f, o, g: those with a sigmoid lie together."""
    i, f, g, o = x.chunk(4)
    return torch.cat([i, f, o, g])


class Ends:
    """When each utterance ends: at the first step whose gate fires, or at its limit. limits: decoder steps, (B,)."""

    def __init__(self, limits: Sequence[int], gate_threshold: float) -> None:
        self.steps = list(limits)
        self._threshold = gate_threshold
        self._running = [row for row, limit in enumerate(limits) if limit > 0]
        self._seen = 0

    def after(self, gates: Tensor) -> bool:
        """Whether all have ended after further steps, whose gates' logits are (S, B)."""
        for fired in (torch.sigmoid(gates.float()) > self._threshold).tolist():
            self._seen += 1
            for row in self._running:
                if fired[row]:
                    self.steps[row] = self._seen
            self._running = [row for row in self._running if self._seen < self.steps[row]]
        return not self._running


def product(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Callable[[], object]:
    """`out = x @ weight.t() + bias` of these tensors: (B, K), (N, K), (N,), (B, N).

    One row by a small weight takes a tenth of the time in a product of matrix and vector of what a packed one takes
    to be called; of a large weight, the packed product alone uses all cores.
    """
    if x.device.type == "cpu" and weight.numel() >= LARGE:
        packed = Product(weight, len(x), weight.dtype)
        return lambda: out.copy_(packed(x) if bias is None else packed.with_bias(x, bias))
    if x.device.type == "cpu" and len(x) == 1:
        if bias is None:
            return partial(torch.mv, weight, x[0], out=out[0])
        return partial(torch.addmv, bias, weight, x[0], out=out[0])
    if bias is None:
        return partial(torch.mm, x, weight.t(), out=out)
    return partial(torch.addmm, bias, x, weight.t(), out=out)


def weighted_sum(weights: Tensor, values: Tensor, out: Tensor) -> Callable[[], object]:
    """The context: (B, 1, N), (B, N, E) -> `out` (B, E)."""
    if len(values) == 1:
        return partial(torch.mv, values[0].t(), weights[0, 0], out=out[0])
    return partial(torch.bmm, weights, values, out=out[:, None])


class _Cell:
    """The part of an LSTM's step after the products. hidden: (B, H), written in place."""

    def __init__(self, like: Tensor, hidden: Tensor) -> None:
        batch, width = hidden.shape
        self.gates = like.new_empty(batch, 4 * width)
        self.cell = like.new_zeros(batch, width)
        self._squashed = like.new_empty(batch, width)
        self._hidden = hidden
        self._sigmoids, self._g = torch.split(self.gates, [3 * width, width], 1)
        self._i, self._f, self._o = self._sigmoids.chunk(3, 1)

    def step(self) -> None:
        self._sigmoids.sigmoid_()
        self._g.tanh_()
        self.cell.mul_(self._f).addcmul_(self._i, self._g)
        torch.tanh(self.cell, out=self._squashed)
        torch.mul(self._o, self._squashed, out=self._hidden)


class FreeRunning:
    """The state of one batch, and the steps that change it. dropout: the prenet's."""

    def __init__(self, weights: StepWeights, memory: Memory, dropout: float) -> None:
        batch, tokens, width = memory.values.shape
        self.weights = weights
        self.memory = memory
        self.dropout = dropout
        prenet = len(weights.prenet_out)
        hidden = len(weights.attention_bias) // 4
        decoder = len(weights.decoder_bias) // 4
        like = weights.attention
        # One row: prenet, attention's hidden state, context, decoder's hidden state; each product reads neighbours.
        self._state = like.new_zeros(batch, prenet + hidden + width + decoder)
        prenets, hiddens, contexts, decoders = torch.split(self._state, [prenet, hidden, width, decoder], 1)
        self._attention_cell = _Cell(like, hiddens)
        self._decoder_cell = _Cell(like, decoders)
        self.outputs = like.new_zeros(STEPS, batch, len(weights.output_bias))  # frames, and the gate's logit
        self.attention = like.new_zeros(STEPS, batch, tokens)
        self._gates = self.outputs[:, :, -1]
        self._masks = like.new_ones(STEPS, 2, batch, prenet)
        self._first = like.new_empty(batch, prenet)
        self._second = prenets
        self._query = like.new_empty(batch, len(memory.energy))
        self._energies = like.new_empty(batch * tokens, len(memory.energy))
        self._energies_of = self._energies.view(batch, tokens, -1)
        self._scores = like.new_empty(batch * tokens)
        self._windows = Windows(like, batch, tokens, memory.location.shape[1] // 2)
        self._check_every = CHECK_EVERY.get(like.device.type, 1)
        self._captures = like.device.type == "cuda"
        self._replay: Callable[[], None] | None = None
        self._make_views()
        self._bind(prenets, hiddens, contexts)

    def _make_views(self) -> None:
        """Of each slot: making a view takes as long as a small product."""
        batch = len(self._state)
        self._mask_of = [masks.unbind(0) for masks in self._masks.unbind(0)]
        self._attention_of = self.attention.unbind(0)
        self._rows_of = [rows[:, None] for rows in self._attention_of]  # (B, 1, N)
        self._query_rows = self._query[:, None]
        self._scores_of = self._scores.view(batch, -1)
        self._padding = self.memory.padding.flatten()
        self._projected = self.memory.projected.flatten(0, 1)

    def _bind(self, prenets: Tensor, hiddens: Tensor, contexts: Tensor) -> None:
        """The products, with their inputs and outputs."""
        weights, memory, state = self.weights, self.memory, self._state
        inside = prenets.shape[1]
        frames = [output[:, :-1] for output in self.outputs.unbind(0)]
        # Slot 0 reads the last slot of the block before.
        self._prenet_in = [product(frames[k - 1], weights.prenet_in, None, self._first) for k in range(STEPS)]
        self._prenet_out = product(self._first, weights.prenet_out, None, prenets)
        seen = inside + hiddens.shape[1] + contexts.shape[1]
        self._attention_gates = product(
            state[:, :seen], weights.attention, weights.attention_bias, self._attention_cell.gates
        )
        self._query_of = product(hiddens, memory.query, None, self._query)
        self._locations = partial(
            torch.addmm, self._projected, self._windows.flat, memory.location.t(), out=self._energies
        )
        self._score = partial(torch.addmv, self._padding, self._energies, memory.energy, out=self._scores)
        self._contexts = [weighted_sum(rows, memory.values, contexts) for rows in self._rows_of]
        self._decoder_gates = product(
            state[:, inside:], weights.decoder, weights.decoder_bias, self._decoder_cell.gates
        )
        spoken = state[:, inside + hiddens.shape[1] :]
        self._project = [
            product(spoken, weights.output, weights.output_bias, output) for output in self.outputs.unbind(0)
        ]

    @property
    def replays(self) -> bool:
        """Whether its graph is captured."""
        return self._replay is not None

    def decode(self, ends: Ends) -> tuple[Tensor, Tensor]:
        """From the first step until all have ended: outputs (T', B, R*M + 1), attention (T', B, N) with T' >= T."""
        for x in (self._state, self.outputs, self._attention_cell.cell, self._decoder_cell.cell):
            x.zero_()
        self._windows.clear()
        outputs, attention = [], []
        ended = False
        with small_products():
            while not ended:
                ended = self._block_until(ends)
                outputs.append(self.outputs.clone())
                attention.append(self.attention.clone())
        return torch.cat(outputs), torch.cat(attention)

    def _block_until(self, ends: Ends) -> bool:
        """A block, or as many of its steps as are needed. Whether all have ended."""
        if self._replay is not None:
            self._replay()
            return ends.after(self._gates)
        self._draw()
        for k in range(STEPS):
            self._step(k)
            if (k + 1) % self._check_every == 0 and ends.after(self._gates[k + 1 - self._check_every : k + 1]):
                return True
        if self._captures:
            self._capture()
        return False

    def _capture(self) -> None:
        """After a first block, which initialises libraries."""
        try:
            self._replay = CudaCapture()(self._block)
        except RuntimeError as error:
            log.warning("no CUDA graph for speech of %s, which runs slower: %s", tuple(self.attention.shape), error)
            self._captures = False
        if not self._captures:
            free_unused()

    def _block(self) -> None:
        self._draw()
        for k in range(STEPS):
            self._step(k)

    def load(self, memory: Memory) -> None:
        """Speak other texts of the same size from now on."""
        _copy(memory, self.memory)

    def _draw(self) -> None:
        """The prenet's dropout masks of a block."""
        if self.dropout:
            draw_keep_masks(self._masks.view(2 * STEPS, -1), self.dropout)

    def _step(self, k: int) -> None:
        """The step of slot `k`."""
        masks = self._mask_of[k]
        self._prenet_in[k]()
        self._first.relu_().mul_(masks[0])
        self._prenet_out()
        self._second.relu_().mul_(masks[1])
        self._attention_gates()
        self._attention_cell.step()
        self._query_of()
        self._windows.gather()
        self._locations()
        self._energies_of.add_(self._query_rows).sigmoid_()
        self._score()
        torch.softmax(self._scores_of, 1, out=self._attention_of[k])
        self._contexts[k]()
        self._windows.push(self._rows_of[k])
        self._decoder_gates()
        self._decoder_cell.step()
        self._project[k]()


class Sizes:
    """A decoder's `FreeRunning`. On CUDA one for each size of batch is kept, with its graph."""

    def __init__(self) -> None:
        self._weights: StepWeights | None = None  # those that graphs read
        self._kept: Kept[FreeRunning] = Kept(SIZES)

    @property
    def captured(self) -> int:
        return sum(steps.replays for steps in self._kept)

    def open(self, weights: StepWeights, memory: Memory, dropout: float) -> FreeRunning:
        if memory.values.device.type != "cuda":
            return FreeRunning(weights, memory, dropout)
        weights = self._loaded(weights)
        size = (memory.values.shape, dropout)
        steps = self._kept.get(size, lambda: FreeRunning(weights, memory, dropout))
        if steps.memory is not memory:
            steps.load(memory)
        return steps

    def _loaded(self, weights: StepWeights) -> StepWeights:
        """The same values, where the graphs read them."""
        if self._weights is not None and _alike(self._weights, weights):
            _copy(weights, self._weights)
        else:
            self._weights = weights
            self._kept.clear()
        return self._weights


def _copy(source: StepWeights | Memory, target: StepWeights | Memory) -> None:
    for field in fields(source):
        getattr(target, field.name).copy_(getattr(source, field.name))


def _alike(a: StepWeights, b: StepWeights) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(a)]
    return all((x.shape, x.dtype, x.device) == (y.shape, y.dtype, y.device) for x, y in pairs)
