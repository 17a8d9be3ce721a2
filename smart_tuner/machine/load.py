"""How busy this machine is: processors, memory, GPUs. A thread measures it, so displays never wait for nvidia-smi."""

import threading
from dataclasses import dataclass
from types import TracebackType

import psutil

from smart_tuner.machine.gpus import read_cards

LOOK_SECONDS = 3.0


@dataclass(frozen=True)
class GpuLoad:
    """busy: share of the time in which it computed, None where the driver does not report it; used, total: bytes."""

    device: str
    busy: float | None
    used: float
    total: float


@dataclass(frozen=True)
class Load:
    """busy: share of all processors; used, total: bytes of memory."""

    busy: float
    used: float
    total: float
    gpus: tuple[GpuLoad, ...] = ()


class LoadGauge:
    """`now` is the last measurement, None before the first one. A context; leaving it does not wait."""

    def __init__(self, seconds: float = LOOK_SECONDS) -> None:
        self.now: Load | None = None
        self._seconds = seconds
        self._over = threading.Event()

    def __enter__(self) -> "LoadGauge":
        threading.Thread(target=self._measure, name="load", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def _measure(self) -> None:
        psutil.cpu_percent()  # each call returns the share since the previous call
        wait = min(1.0, self._seconds)
        while not self._over.wait(wait):
            self.now = measure()
            wait = self._seconds


def measure() -> Load:
    """Takes as long as a call of nvidia-smi, where there is one."""
    memory = psutil.virtual_memory()
    gpus = (GpuLoad(device, card.busy, card.used, card.total) for device, card in read_cards().items())
    return Load(psutil.cpu_percent() / 100, float(memory.total - memory.available), float(memory.total), tuple(gpus))


def busy_processors(seconds: float = 1.0) -> float:
    """Share of all processors that programs use, over `seconds` from now."""
    return psutil.cpu_percent(seconds) / 100
