"""CUDA graphs of functions that run again and again with inputs of a few sizes.

`CudaCapture` captures a function, `Arena` holds the buffers that graphs of different sizes share, and `Kept` remembers
the graphs of the sizes that came last. What is captured, and what is done where that fails, is left to those that use
them: `recurrence.Graphs`, `free_running.Sizes` and the graphs of whole updates (`trainer.updates`).
"""

import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

# Captures a function, and returns one that replays it.
Capture = Callable[[Callable[[], None]], Callable[[], None]]

_T = TypeVar("_T")


class CudaCapture:
    """Captures into one memory pool, so that the graphs of different sizes share memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # "thread_local": a loader's thread may pin memory meanwhile.
        capturing = torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local")
        # After a failed capture, torch's side stream stays current; the outer context restores the stream.
        try:
            with torch.cuda.stream(torch.cuda.current_stream()), capturing:
                function()
        except BaseException:
            # The failed graph's hold on the random numbers would refuse all that are drawn without a graph.
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        return graph.replay


class Arena:
    """Buffers that graphs of different sizes share. Where one must grow, earlier graphs keep the old one."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, like: Tensor) -> Tensor:
        name = f"{name} {like.dtype}"
        if name not in self._buffers or self._buffers[name].numel() < like.numel():
            self._buffers[name] = like.new_empty(like.numel())
        return self._buffers[name][: like.numel()].view(like.shape)


class Kept(Generic[_T]):
    """What was made for each of the last `most` sizes; the one used longest ago goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, _T] = OrderedDict()  # used longest ago first

    def get(self, size: Hashable, make: Callable[[], _T]) -> _T:
        """What was made for `size`, or is made now."""
        if size not in self._made:
            if len(self._made) == self._most:
                self._made.popitem(last=False)  # its memory is free before more is needed
            self._made[size] = make()
        self._made.move_to_end(size)
        return self._made[size]

    def __len__(self) -> int:
        return len(self._made)

    def __iter__(self) -> Iterator[_T]:
        return iter(self._made.values())

    def clear(self) -> None:
        self._made.clear()


def copy_all(sources: Sequence[Tensor | None], targets: Sequence[Tensor | None]) -> None:
    """Into the buffers that a graph reads or writes; None where there is none."""
    for source, target in zip(sources, targets, strict=True):
        if source is not None and target is not None:
            target.copy_(source)


def free_unused() -> None:
    """Give the device's memory back that nothing uses any more, such as that of a failed capture."""
    gc.collect()
    torch.cuda.empty_cache()
