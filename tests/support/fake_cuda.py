"""CUDA devices for machines without any: tensors are on the CPU, and each storage has a label that names its device.

torch's own Python code stays in place (`set_device`, `fork_rng`, `graph`, `mem_get_info`, fused optimisers). The layer
below it is replaced, and refuses what the real one refuses: tensors of two devices in one operation, a device that does
not exist, reading a tensor of a device as an array, waiting within a capture, capturing on the default stream. The host
sees the work of a device late: after a synchronisation, or once an event has passed. Capturing a graph computes
nothing; replaying it does.

Does not cover speed, memory that graphs of one pool share, several threads that use one device, and behaviour of
kernels: numbers are those of the CPU.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

aten = torch.ops.aten
CPU = torch.device("cpu")
ANY = torch.device("meta")  # label of tensors that torch's C++ code made itself: allowed with any device
MEMORY = 8 * 2**30  # bytes of each device
CAPTURING = "operation not permitted when stream is capturing"
WAITS = "called a synchronizing CUDA operation"

_MIXES = {  # operations that accept tensors of the CPU together with those of a device
    "aten::copy_",
    "aten::_to_copy",
    "aten::index",
    "aten::index_put_",
    "aten::_index_put_impl_",
    "aten::_pack_padded_sequence",
    "aten::_pack_padded_sequence_backward",
    "aten::set_",
    "aten::lift_fresh",
}
_READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero", "aten::masked_select"}
_to = Tensor.to


class FakeCuda(TorchDispatchMode):
    """`count` devices, installed by `fake_cuda_api.install`. Checks operations within its context (`with`)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.current = 0
        self.used: set[int] = set()  # devices that have held a tensor
        self.captures = 0
        self.fails: Callable[[], None] | None = None  # called before each operation of a device
        self.sync_mode = 0  # 2: waiting is an error
        self.streams = [0] * count  # the current one of each device
        self.made = 0  # streams
        self.pending: list[Callable[[], None]] = []  # work that the host does not see yet
        self.capture: Capture | None = None
        self._labels: dict[int, tuple[StorageWeakRef, torch.device]] = {}
        self._pinned: dict[int, StorageWeakRef] = {}
        self._within: torch.device | None = None  # the device of the running composite operation

    # Devices of tensors

    def resolve(self, device: Any) -> torch.device:
        """The device with its index. Raises as torch does if there is no such device."""
        device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
        if device.type != "cuda":
            return device
        index = self.current if device.index is None else device.index
        if not 0 <= index < self.count:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return torch.device("cuda", index)

    def label(self, x: Tensor) -> torch.device:
        if x.is_meta or x.is_sparse:
            return CPU
        found = self._labels.get(x.untyped_storage()._cdata)
        return found[1] if found else CPU

    def put(self, x: Tensor, device: torch.device) -> None:
        if not x.is_meta:
            storage = x.untyped_storage()
            # The reference prevents that the storage's address is used again.
            self._labels[storage._cdata] = (StorageWeakRef(storage), device)
            if device.type == "cuda":
                torch.cuda._lazy_init()  # what was seeded before takes effect
                self.used.add(device.index)
            if len(self._labels) > 20_000:
                self._labels = {key: held for key, held in self._labels.items() if not held[0].expired()}

    def pin(self, x: Tensor) -> None:
        storage = x.untyped_storage()
        self._pinned[storage._cdata] = StorageWeakRef(storage)

    def is_pinned(self, x: Tensor) -> bool:
        return x.untyped_storage()._cdata in self._pinned

    def moved(self, x: Tensor, device: torch.device, non_blocking: bool) -> Tensor:
        """A copy of `x` on another device; autograd goes through it."""
        source = self.label(x)
        if not non_blocking:
            self.waits(f"to({device})")
        if self.capture and not (source == CPU and self.is_pinned(x) and non_blocking):
            raise RuntimeError(CAPTURING)
        if device == CPU:
            self.finish()
        copy = _to(x, x.dtype, copy=True)
        self.put(copy, device)
        return copy

    # Synchronisation

    def waits(self, what: str) -> None:
        """The host waits for the device."""
        if self.capture:
            raise RuntimeError(CAPTURING)
        if self.sync_mode == 2:
            raise RuntimeError(f"{WAITS}: {what}")
        self.finish()

    def finish(self) -> None:
        """All work of the devices becomes visible."""
        pending, self.pending = self.pending, []
        for each in pending:
            each()

    # Operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = tensors_in(args, *kwargs.values())
        asked = kwargs.get("device")
        name = func.name().partition(".")[0]
        if asked is not None and torch.device(asked).type == "meta":
            return func(*args, **kwargs)
        device = self._device_of(name, tensors, asked)
        if asked is not None:
            kwargs["device"] = CPU
        pinned = bool(kwargs.get("pin_memory")) and kwargs.pop("pin_memory")
        if device.type == "cuda":
            self._begin(name, tensors, kwargs, device)
        if name == "aten::copy_" and self._is_late(args, kwargs):
            return self._copied_later(*args[:2])
        if self.capture:
            self.capture.before(func, args, kwargs)
        before = {x.untyped_storage()._cdata for x in tensors}
        out = func(*args, **kwargs)
        fresh = [x for x in tensors_in(out) if x.untyped_storage()._cdata not in before]
        self._place(name, out, fresh, device, pinned)
        if self.capture and device != CPU:
            self.capture.record(func, args, kwargs, out, bool(fresh))
        return out

    def _begin(self, name: str, tensors: list[Tensor], kwargs: dict[str, Any], device: torch.device) -> None:
        if self.fails:
            self.fails()
        counts = name == "aten::index" and any(x.dtype == torch.bool for x in tensors[1:])
        if name in _READS or counts:
            self.waits(name)
        if any(word in name for word in ("bernoulli", "random", "normal", "uniform")):
            kwargs["generator"] = torch.cuda.default_generators[device.index]

    def _place(self, name: str, out: Any, fresh: list[Tensor], device: torch.device, pinned: bool) -> None:
        for x in fresh if name != "aten::set_" else ():  # the storage it is set to has a label already
            self.put(x, device)
            if pinned:
                self.pin(x)
        if name == "aten::_pack_padded_sequence":
            self.put(out[1], CPU)  # sizes of batches

    def _device_of(self, name: str, tensors: list[Tensor], asked: Any) -> torch.device:
        """The device of the result."""
        labels = [self.label(x) for x in tensors]
        devices = [label for label in labels if label.type == "cuda"]
        if asked is not None and torch.device(asked).type != "cpu":
            return self.resolve(asked)
        if not devices:
            backward: bool = torch._C._current_graph_task_id() != -1
            return self._within or (ANY if backward and CPU not in labels else CPU)
        self._refuse_mixed(name, tensors, labels)
        if name in ("aten::copy_", "aten::index_put_") and labels[0] == ANY:
            self.put(tensors[0], devices[0])
        return devices[0]

    def _refuse_mixed(self, name: str, tensors: list[Tensor], labels: list[torch.device]) -> None:
        """Scalars are allowed with any device."""
        if name == "aten::index" and labels[0].type != "cuda":
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        if name == "aten::_pack_padded_sequence" and labels[-1].type == "cuda":
            raise RuntimeError("'lengths' argument should be a 1D CPU int64 tensor")
        if name in _MIXES or self._within is not None:
            return
        found = {str(label) for x, label in zip(tensors, labels, strict=True) if label.type == "cuda" or x.dim()}
        if len(found - {str(ANY)}) > 1:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"{' and '.join(sorted(found))}! ({name})"
            )

    def _is_late(self, args: Any, kwargs: Any) -> bool:
        """Whether it is a copy to the host without waiting. Other copies between devices wait."""
        target, source = self.label(args[0]), self.label(args[1])
        late = kwargs.get("non_blocking", False) or (len(args) > 2 and args[2])
        if target == CPU and source.type == "cuda":
            if late and self.is_pinned(args[0]):
                return True
            self.waits("copy_ to the CPU")
        elif target.type == "cuda" and source == CPU and args[1].dim() and not late:
            self.waits("copy_ from the CPU")
        return False

    def _copied_later(self, target: Tensor, source: Tensor) -> Tensor:
        value = source.detach().clone()
        self.pending.append(lambda: target.detach().copy_(value))
        return target

    @contextmanager
    def composite(self, device: torch.device) -> Iterator[None]:
        """Within an operation of torch that makes more tensors in C++: they go to the device of its input."""
        self._within = device if device.type == "cuda" else None
        try:
            yield
        finally:
            self._within = None


class Capture:
    """What a graph records. Its end restores all storages that were written during the capture."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] = []
        self._own: set[int] = set()  # storages that it made
        self._saved: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._outputs: list[Tensor] = []

    def before(self, func: Any, args: Any, kwargs: Any) -> None:
        for argument, value in _arguments(func, args, kwargs):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for x in tensors_in(value):
                    storage = x.untyped_storage()
                    if storage._cdata not in self._own and storage._cdata not in self._saved:
                        self._saved[storage._cdata] = (storage, storage.clone())

    def record(self, func: Any, args: Any, kwargs: Any, out: Any, fresh: bool) -> None:
        args, kwargs, out = tree_map_only(Tensor, lambda x: x.detach(), (args, kwargs, out))
        outputs = tensors_in(out)
        if fresh:
            self._own |= {x.untyped_storage()._cdata for x in outputs}
            self._outputs += outputs
            self.steps.append(functools.partial(_redo, func, args, kwargs, outputs))
        elif func._schema.is_mutable:
            self.steps.append(functools.partial(func, *args, **kwargs))

    def end(self) -> None:
        for storage, saved in self._saved.values():
            storage.copy_(saved)
        for x in self._outputs:
            if x.is_floating_point():
                x.fill_(torch.nan)


def tensors_in(*values: Any) -> list[Tensor]:
    """All tensors in tuples and lists. (pytree would take half of the time.)"""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            if not value.is_meta:
                found.append(value)
        elif isinstance(value, tuple | list):
            found += tensors_in(*value)
    return found


def _redo(func: Any, args: Any, kwargs: Any, outputs: list[Tensor]) -> None:
    for target, source in zip(outputs, tensors_in(func(*args, **kwargs)), strict=True):
        target.copy_(source)


def _arguments(func: Any, args: Any, kwargs: Any) -> Iterator[tuple[Any, Any]]:
    for argument, value in zip(func._schema.arguments, args, strict=False):
        yield argument, value
    by_name = {argument.name: argument for argument in func._schema.arguments}
    for name, value in kwargs.items():
        if name in by_name:
            yield by_name[name], value
