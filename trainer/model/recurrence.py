"""A recurrence as one autograd operation over all steps, with its own backward pass.

The forward pass records a tape, which the backward pass uses. Where launching kernels takes longer than running them,
`Graphs` captures both passes as CUDA graphs, one pair for each size of the inputs, and replays them.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainer.model.cuda_graphs import Arena, Capture, CudaCapture, Kept, copy_all, free_unused

log = logging.getLogger(__name__)

SIZES = 96  # graphs to keep, each with tens of thousands of nodes, whose memory is outside of torch's


class Tape(Protocol):
    """One pass over all steps."""

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...

    def backward(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of the outputs, None for unused ones -> gradients of the inputs. Can be called once."""


# (recording, *inputs) -> tape. The inputs may be overwritten; without recording there is no backward pass.
MakeTape = Callable[..., Tape]


class Recurrence(torch.autograd.Function):
    """`Recurrence.apply(run, *inputs)` -> the tape's outputs."""

    @staticmethod
    def forward(ctx: Any, run: MakeTape, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        ctx.tape = run(True, *inputs)
        ctx.set_materialize_grads(False)
        outputs: tuple[Tensor, ...] = ctx.tape.outputs
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        tape, ctx.tape = ctx.tape, None
        assert tape is not None, "the backward pass of a recurrence can run once"
        return (None, *tape.backward(*gradients))


class Runner:
    """Applies a recurrence, `run(dtype, recording, *inputs)`, with its products in `dtype`."""

    def __init__(self, run: MakeTape) -> None:
        self.run = run
        self.graphs: dict[torch.dtype, Graphs] | None = None  # by precision of the products; None: run without graphs

    def use(self, run: MakeTape) -> None:
        """From now on apply another implementation of the recurrence. Before `use_graphs`."""
        assert not self.graphs
        self.run = run

    def use_graphs(self) -> None:
        """From now on replay CUDA graphs. See `Graphs` for the rules that then apply."""
        self.graphs = {}

    def __call__(self, dtype: torch.dtype, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        run: MakeTape = partial(self.run, dtype)
        tensors = [x for x in inputs if x is not None]
        recording = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
        with torch.autocast(tensors[0].device.type, enabled=False):
            if not recording:
                return run(False, *inputs).outputs
            if self.graphs is not None:
                if dtype not in self.graphs:
                    self.graphs[dtype] = Graphs(run)
                run = self.graphs[dtype]
            outputs: tuple[Tensor, ...] = Recurrence.apply(run, *inputs)  # type: ignore[no-untyped-call]
        return outputs


class Graphs:
    """A `MakeTape` that replays CUDA graphs of another one.

    Outputs and gradients are in buffers that the next pass overwrites: the backward pass must end before the next
    forward pass starts, and an output that is kept must be copied. A size that cannot be captured runs without a graph.
    """

    def __init__(self, run: MakeTape, capture: Capture | None = None) -> None:
        self._run = run
        self._capture = capture or CudaCapture()
        self._arena = Arena()
        self._graphs: Kept[_Graphed | None] = Kept(SIZES)  # None: could not be captured

    @property
    def captured(self) -> int:
        """Sizes that are replayed; those that could not be captured do not count."""
        return sum(graphed is not None for graphed in self._graphs)

    def __call__(self, recording: bool, *inputs: Tensor | None) -> Tape:
        assert recording, "graphs are for passes with a tape"
        key = tuple((x.shape, x.dtype) if x is not None else None for x in inputs)
        graphed = self._graphs.get(key, lambda: self._captured(inputs))
        return self._run(recording, *inputs) if graphed is None else graphed.replay(inputs)

    def _captured(self, inputs: Sequence[Tensor | None]) -> "_Graphed | None":
        try:
            return _Graphed(self._run, inputs, self._arena.buffer, self._capture)
        except RuntimeError as error:
            sizes = [tuple(x.shape) for x in inputs if x is not None]
            log.warning("no CUDA graph for inputs of %s, which run slower: %s", sizes, error)
        free_unused()
        return None


class _Graphed:
    """The graphs of one size, forward and backward. It is its own tape."""

    def __init__(
        self,
        run: MakeTape,
        inputs: Sequence[Tensor | None],
        buffer: Callable[[str, Tensor], Tensor],
        capture: Capture,
    ) -> None:
        def buffers(name: str, like: Sequence[Tensor | None]) -> list[Tensor | None]:
            return [None if x is None else buffer(f"{name} {i}", x) for i, x in enumerate(like)]

        self._run = run
        self._inputs = buffers("input", inputs)
        copy_all(inputs, self._inputs)
        tape = run(True, *self._inputs)  # a first run initialises libraries, and gives all sizes
        outputs = [buffer(f"output {i}", x) for i, x in enumerate(tape.outputs)]
        self._given = [buffer(f"given {i}", x).zero_() for i, x in enumerate(tape.outputs)]
        self._gradients = buffers("gradient", tape.backward(*self._given))
        del tape  # before a second one is captured
        self.outputs = tuple(outputs)
        self._tape: Tape | None = None
        self._forward = capture(self._run_forward)
        self._backward = capture(self._run_backward)
        self._tape = None  # its memory serves the next size

    def replay(self, inputs: Sequence[Tensor | None]) -> Tape:
        copy_all(inputs, self._inputs)
        self._forward()
        return self

    def backward(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        for gradient, given in zip(gradients, self._given, strict=True):
            given.zero_() if gradient is None else given.copy_(gradient)
        self._backward()
        return tuple(None if g is None else g.view(g.shape) for g in self._gradients)

    def _run_forward(self) -> None:
        self._tape = self._run(True, *self._inputs)
        copy_all(self._tape.outputs, self.outputs)

    def _run_backward(self) -> None:
        assert self._tape is not None
        copy_all(self._tape.backward(*self._given), self._gradients)
