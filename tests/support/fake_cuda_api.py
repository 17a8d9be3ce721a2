"""Installs `fake_cuda` in torch: replaces the driver, streams, events, graphs, and methods of tensors."""

import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count as numbers
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from fake_cuda import CAPTURING, CPU, Capture, FakeCuda
from torch import Tensor

MEMORY = 8 * 2**30  # bytes of each device


def install(monkeypatch: pytest.MonkeyPatch, count: int = 1) -> FakeCuda:
    """Until the end of the test, torch finds `count` CUDA devices. Compute within the returned context (`with`)."""
    import_module("torch._dynamo")  # its import checks what torch was compiled with
    fake = FakeCuda(count)
    _replace_driver(fake, monkeypatch)
    _replace_streams(fake, monkeypatch)
    _replace_methods(fake, monkeypatch)
    _replace_functions(fake, monkeypatch)
    return fake


def _index(device: Any) -> int:
    index: int = torch.cuda._utils._get_device_index(device, optional=True)
    return index


class _Generator(torch.Generator):
    """A CUDA device's has two methods that those of the CPU lack."""

    def clone_state(self) -> torch.Generator:
        copy = _Generator()
        copy.set_state(self.get_state())
        return copy

    def graphsafe_set_state(self, state: torch.Generator) -> torch.Generator:
        return self.set_state(state.get_state())


class _Driver:
    """Accepts only indices of devices, as the C functions of torch do."""

    def __init__(self, fake: FakeCuda) -> None:
        self.fake = fake

    def exchange(self, index: int) -> int:
        before = self.fake.current
        if index >= 0:
            self.fake.current = self._there(index)
        return before

    def stats(self, index: int) -> dict[str, Any]:
        used = 2**20 if self._there(index) in self.fake.used else 0
        return {"reserved_bytes": {"all": {"peak": used, "current": used}}}

    def memory(self, index: int) -> tuple[int, int]:
        self._there(index)
        return MEMORY, MEMORY

    def properties(self, device: Any = None) -> SimpleNamespace:
        self._there(_index(device))
        return SimpleNamespace(name="Fake GPU", major=7, minor=5, total_memory=MEMORY, multi_processor_count=1)

    def synchronize(self) -> None:
        if self.fake.capture:
            raise RuntimeError(CAPTURING)
        self.fake.finish()

    def set_sync_mode(self, mode: int) -> None:
        self.fake.sync_mode = mode

    def _there(self, index: int) -> int:
        assert type(index) is int, index
        return int(self.fake.resolve(index).index)


def _replace_driver(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = _Driver(fake)
    functions: dict[str, Callable[..., Any]] = {
        "_cuda_init": lambda: None,
        "_cuda_getDeviceCount": lambda: fake.count,
        "_cuda_getDevice": lambda: fake.current,
        "_cuda_setDevice": driver.exchange,
        "_cuda_synchronize": driver.synchronize,
        "_cuda_emptyCache": lambda: None,
        "_host_emptyCache": lambda: None,
        "_cuda_memoryStats": driver.stats,
        "_cuda_set_sync_debug_mode": driver.set_sync_mode,
    }
    for function, does in functions.items():
        monkeypatch.setattr(torch._C, function, does, raising=False)
    of_cuda: dict[str, Any] = {
        "_cudart": SimpleNamespace(cudaMemGetInfo=driver.memory),
        "_initialized": False,
        "_queued_calls": [],
        "_lazy_seed_tracker": torch.cuda._LazySeedTracker(),
        "_is_compiled": lambda: True,
        "is_available": lambda: True,
        "device_count": lambda: fake.count,
        "_exchange_device": driver.exchange,
        "_maybe_exchange_device": driver.exchange,
        "get_device_properties": driver.properties,
        "default_generators": tuple(_Generator() for _ in range(fake.count)),
    }
    for name, value in of_cuda.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda tensor: False)


class _Of:
    fake: ClassVar[FakeCuda]


class _Stream(_Of):
    def __init__(
        self, device: Any = None, priority: int = 0, stream_id: int | None = None, device_index: int = 0, **_: Any
    ) -> None:
        if stream_id is None:
            self.fake.made += 1
            stream_id = self.fake.made
            device_index = _index(device)
        self.stream_id = stream_id
        self.device_index = device_index
        self.device_type = 1
        self.device = torch.device("cuda", device_index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Stream) and (self.stream_id, self.device) == (other.stream_id, other.device)

    def __hash__(self) -> int:
        return hash((self.stream_id, self.device_index))


class _Event(_Of):
    """Has passed at the second query, or after a synchronisation."""

    def __init__(self, enable_timing: bool = False) -> None:
        self._device: int | None = None
        self._waiting: list[Callable[[], None]] = []
        self._looks = 0

    def record(self, stream: _Stream | None = None) -> None:
        index = self.fake.current if stream is None else stream.device_index
        if self._device not in (None, index):
            raise RuntimeError(f"Event device {self._device} does not match recording stream's device {index}.")
        self._device = index
        self._looks = 0
        self._waiting = list(self.fake.pending)

    def query(self) -> bool:
        if self.fake.capture:
            raise RuntimeError(CAPTURING)
        self._looks += 1
        still = [each for each in self.fake.pending if each in self._waiting]
        if still and self._looks == 1:
            return False
        self.fake.pending = [each for each in self.fake.pending if each not in still]
        for each in still:
            each()
        return True


class _Graph(_Of):
    def __init__(self, keep_graph: bool = False) -> None:
        self._steps: list[Callable[[], None]] | None = None
        self._random: list[Tensor] = []  # states before the capture

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global", **_: Any) -> None:
        assert capture_error_mode in ("global", "thread_local", "relaxed")
        if self.fake.streams[self.fake.current] == 0:
            raise RuntimeError("CUDA graphs must be captured on a non-default stream.")
        self._random = [generator.get_state() for generator in torch.cuda.default_generators]
        self.fake.capture = Capture()

    def capture_end(self) -> None:
        capture, self.fake.capture = self.fake.capture, None
        assert capture is not None
        capture.end()
        for generator, state in zip(torch.cuda.default_generators, self._random, strict=True):
            generator.set_state(state)
        self._steps = capture.steps

    def replay(self) -> None:
        if self._steps is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        with torch.no_grad(), torch.utils._python_dispatch._disable_current_modes():
            for step in self._steps:
                step()


def _replace_streams(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    pools: Iterator[int] = numbers(1)

    def set_stream(stream_id: int, device_index: int, device_type: int) -> None:
        torch.cuda._exchange_device(device_index)
        fake.streams[device_index] = stream_id

    def current(index: int) -> tuple[int, int, int]:
        return fake.streams[fake.resolve(index).index], index, 1

    functions = {
        "_cuda_setStream": set_stream,
        "_cuda_getCurrentStream": current,
        "_cuda_getDefaultStream": lambda index: (0, index, 1),
    }
    for name, function in functions.items():
        monkeypatch.setattr(torch._C, name, function, raising=False)
    classes = {"Stream": _Stream, "Event": _Event, "CUDAGraph": _Graph}
    for name, kind in classes.items():
        own = type(name, (kind,), {"fake": fake})
        for module in (torch.cuda, torch.cuda.streams, torch.cuda.graphs):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, own)
    monkeypatch.setattr(torch.cuda.graphs, "_graph_pool_handle", lambda: (0, next(pools)))
    monkeypatch.setattr(torch.cuda.graphs, "_cuda_isCurrentStreamCapturing", lambda: fake.capture is not None)
    monkeypatch.setattr(torch.cuda.graph, "default_capture_stream", None)


def _replace_methods(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    to = functools.partial(_to, fake, Tensor.to)
    as_numpy = Tensor.numpy

    def numpy(x: Tensor, *arguments: Any, **options: Any) -> Any:
        if fake.label(x).type == "cuda":
            raise TypeError(f"can't convert {fake.label(x)} device type tensor to numpy. Use Tensor.cpu() first.")
        return as_numpy(x, *arguments, **options)

    def pin_memory(x: Tensor, device: Any = None) -> Tensor:
        if fake.label(x).type == "cuda":
            raise RuntimeError(f"cannot pin '{x.type()}' only dense CPU tensors can be pinned")
        copy = x.clone()
        fake.pin(copy)
        return copy

    methods: dict[str, Any] = {
        "device": property(functools.partial(_device, fake, Tensor.device)),
        "is_cuda": property(lambda x: fake.label(x).type == "cuda"),
        "to": lambda x, *arguments, **options: to(x, *arguments, **options),
        "cpu": lambda x: to(x, "cpu"),
        "cuda": lambda x, device="cuda", non_blocking=False: to(x, device, non_blocking=non_blocking),
        "numpy": numpy,
        "pin_memory": pin_memory,
        "is_pinned": lambda x, device=None: fake.is_pinned(x),
    }
    for name, method in methods.items():
        monkeypatch.setattr(Tensor, name, method)


def _device(fake: FakeCuda, real: Any, x: Tensor) -> Any:
    label = fake.label(x)
    return label if label.type == "cuda" else real.__get__(x)


def _to(fake: FakeCuda, real: Any, x: Tensor, *arguments: Any, **options: Any) -> Any:
    if arguments and isinstance(arguments[0], Tensor):
        arguments = (arguments[0].device, arguments[0].dtype, *arguments[1:])
    device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*arguments, **options)
    x = x if dtype is None else real(x, dtype)
    x = x if memory_format is None else real(x, memory_format=memory_format)
    if device is None:
        return x
    if x.is_meta or device.type == "meta":
        return real(x, device)
    device = fake.resolve(device)
    return x if device == fake.label(x) else fake.moved(x, device, non_blocking)


def _replace_functions(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that make tensors without an operation that the fake could check."""
    make = torch.tensor
    where = functools.partial(_device, fake, torch._C.TensorBase.device)
    by_device = torch._C._group_tensors_by_device_and_dtype

    def tensor(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        x = make(data, **options)
        return x if device is None else x.to(device)

    def grouped(lists: Any, with_indices: bool = False) -> Any:
        found = by_device(lists, with_indices)
        return {(where(group[0][0]), dtype): (group, at) for (_, dtype), (group, at) in found.items()}

    def place(storage: torch.UntypedStorage, location: str) -> torch.UntypedStorage | None:
        """Where `torch.load` puts a storage."""
        if not location.startswith("cuda"):
            return None
        fake.put(torch.empty(0, dtype=torch.uint8).set_(storage), fake.resolve(location))  # type: ignore[call-overload]
        return storage

    monkeypatch.setattr(torch, "tensor", tensor)
    monkeypatch.setattr(torch, "autocast", _Autocast)
    monkeypatch.setattr(torch._C, "_group_tensors_by_device_and_dtype", grouped)
    registry = [(1, lambda storage: None, place), *torch.serialization._package_registry]
    monkeypatch.setattr(torch.serialization, "_package_registry", registry)
    for name in ("lstm", "_pad_packed_sequence"):
        monkeypatch.setattr(torch._VF, name, _composite(fake, name), raising=False)


def _composite(fake: FakeCuda, name: str) -> Any:
    function = getattr(torch._VF, name)

    def call(data: Tensor, batch_sizes: Tensor, *arguments: Any) -> Any:
        with fake.composite(fake.label(data)):
            out = function(data, batch_sizes, *arguments)
        if name == "_pad_packed_sequence":
            fake.put(out[1], CPU)  # lengths
        return out

    return call


class _Autocast(torch.autocast):  # type: ignore[misc]
    """The CPU's autocast, since the CPU computes."""

    def __init__(self, device_type: str, dtype: torch.dtype | None = None, enabled: bool = True) -> None:
        assert device_type in ("cpu", "cuda"), device_type
        super().__init__("cpu", dtype or torch.bfloat16, enabled)
