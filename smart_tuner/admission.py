"""Whether a device's memory suffices for one more trial, by what the trials before it were measured to hold.

Trainers tell how much memory they hold. One that has not told yet, or is to begin, is taken to hold as much as the
largest so far, and before there is one, as the estimate for the preset. A trial that is alone on its device may
always begin. Asking costs nothing on a CPU, and one call of nvidia-smi on a GPU.
"""

import logging
import threading
from collections.abc import Callable

from smart_tuner.machine import free_memory, memory_estimate

log = logging.getLogger(__name__)

MARGIN = 1.15  # of the largest: trials differ in batch size and reduction
LOOK_SECONDS = 2.0
_WAITS = "a trial waits for memory on %s, where %.1f GB are lacking: smaller batches need less, as do fewer `jobs`"


class Admission:
    """Shared by the workers of one process; safe between threads."""

    def __init__(self, preset: str, free: Callable[[str], float | None] = free_memory) -> None:
        """free: device -> bytes, None where nobody knows."""
        self._preset, self._free = preset, free
        self._changed = threading.Condition()
        self._inside: dict[int, tuple[str, float | None]] = {}  # slot -> device, bytes that its trial was told to hold
        self._largest: dict[str, float] = {}  # per kind of device

    def enter(self, slot: int, device: str, given_up: threading.Event) -> bool:
        """Wait until the trial of `slot` may begin; False when `given_up` is set before. Follow it with `leave`."""
        told = False
        while not given_up.is_set():
            free = self._free(device)  # may take a while, so that nobody waits for it
            with self._changed:
                lacking = 0 if free is None else self._need(device) - free
                if lacking <= 0:
                    self._inside[slot] = (device, None)
                    return True
                if not told:
                    told = True
                    log.warning(_WAITS, device, lacking / 1e9)
                self._changed.wait(LOOK_SECONDS)
        return False

    def note_held(self, slot: int, held: float) -> None:
        """The trainer of `slot` tells how many bytes it holds."""
        with self._changed:
            if slot in self._inside:
                device, _ = self._inside[slot]
                self._inside[slot] = (device, held)
                self._largest[_kind(device)] = max(held, self._largest.get(_kind(device), 0))

    def leave(self, slot: int) -> None:
        with self._changed:
            self._inside.pop(slot, None)
            self._changed.notify_all()

    def _need(self, device: str) -> float:
        """Free bytes without which no further trial may begin; those that have not told yet will take theirs."""
        beside = [held for other, held in self._inside.values() if other == device]
        each = MARGIN * self._largest.get(_kind(device), memory_estimate(self._preset))
        return each * (1 + beside.count(None)) if beside else 0


def _kind(device: str) -> str:
    return device.partition(":")[0]
