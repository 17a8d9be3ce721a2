"""When a trial may start on its device: the device is ours, has a free slot, and has enough memory.

Trainers report how much memory they hold. A trial that has not reported yet, or is about to start, counts as the
largest one so far; before any report, as the estimate for the preset. A trial that is alone on its device may always
start. On a CPU the check is free, on a GPU it is one call of nvidia-smi.

On a GPU, a trial holds one of its slots, which all tuners of this user share (`gpu_leases`). A GPU that others keep
busy is left out while another one of ours is not busy. Where the user named the GPUs, this is only logged.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smart_tuner.machine.capacity import Capacity, memory_estimate
from smart_tuner.machine.gpu_leases import Lease, Leases
from smart_tuner.machine.gpus import Card, Others, free_memory, gpu_index, gpu_name, held_by_others, read_card

log = logging.getLogger(__name__)

MARGIN = 1.15  # times the largest trial: trials differ in batch size and reduction
LOOK_SECONDS = 2.0
_LACKS = "a trial waits for memory on %s, which lacks %.1f GB: smaller batches need less, and so do fewer `jobs`"
_NO_SLOT = "a trial waits for a slot on %s, where %s; `trials_per_device` is %d"
_LEFT_OUT = "%s is left out while others keep it busy and another GPU is not busy: %s"
_BUSY = "%s is busy, but trials run there, too: %s"

Obstacle = tuple[Any, ...]  # why a trial may not start; the arguments of `log.warning`: format, device, figures


@dataclass
class _Admitted:
    """A trial that was admitted. held: bytes, None before it has reported any."""

    device: str
    lease: Lease | None
    held: float | None = None


class DeviceAdmission:
    """Admits trials to devices of this machine; see `smart_tuner.executors.Admission`."""

    def __init__(
        self,
        preset: str,
        free: Callable[[str], float | None] = free_memory,
        *,
        capacity: Capacity | None = None,
        leases: Leases | None = None,
    ) -> None:
        """free: device -> bytes, None where they are unknown. capacity: None: GPUs are not shared with other tuners."""
        self._preset = preset
        self._free = free
        self._capacity = capacity
        self._leases = leases or Leases()
        self._changed = threading.Condition()
        self._admitted: dict[int, _Admitted] = {}  # by slot
        self._largest: dict[str, float] = {}  # bytes, by kind of device
        self._logged: set[tuple[str, str]] = set()  # format and device of obstacles that are in the log

    def enter(
        self, slot: int, device: str, cancelled: threading.Event, is_needed: Callable[[], bool] = lambda: True
    ) -> bool:
        """May wait for hours, since others may hold the device for so long."""
        while not cancelled.is_set():
            card, free = self._measure(device)  # without the lock, since it may take a while
            obstacle = self._busy(device, card)
            with self._changed:
                obstacle = obstacle or self._admit(slot, device, card, free)
                if obstacle is None:
                    return True
                self._log_once(obstacle)
                self._changed.wait(LOOK_SECONDS)
            if not is_needed():
                break
        return False

    def note_held(self, slot: int, held: float) -> None:
        with self._changed:
            if slot in self._admitted:
                admitted = self._admitted[slot]
                if admitted.lease is not None and held != admitted.held:
                    admitted.lease.report(held)
                admitted.held = held
                kind = _kind(admitted.device)
                self._largest[kind] = max(held, self._largest.get(kind, 0))

    def leave(self, slot: int) -> None:
        with self._changed:
            admitted = self._admitted.pop(slot, None)
            if admitted is not None and admitted.lease is not None:
                admitted.lease.release()
            self._changed.notify_all()

    def _measure(self, device: str) -> tuple[Card | None, float | None]:
        """The card, where it is shared, and its free bytes; None where they are unknown."""
        if not self._is_shared(device):
            return None, self._free(device)
        card = read_card(device)
        return card, card.free if card else None

    def _is_shared(self, device: str) -> bool:
        return self._capacity is not None and gpu_index(device) is not None

    def _busy(self, device: str, card: Card | None) -> Obstacle | None:
        """An obstacle if others hold much of the card and we have a better one. Without a better one, it is logged."""
        others = self._others(device, card)
        if others is None or self._capacity is None:
            self._forget(device, _LEFT_OUT, _BUSY)
            return None
        alternatives = set(self._capacity.devices) - {device} if not self._capacity.named else set()
        if any(self._others(name, read_card(name)) is None for name in alternatives):
            return _LEFT_OUT, device, others
        self._log_once((_BUSY, device, others))
        return None

    def _others(self, device: str, card: Card | None) -> Others | None:
        if card is None:
            return None
        with self._changed:
            ours = sum(held or 0 for held in self._beside(device, card.uuid))
        return held_by_others(device, card, ours)

    def _admit(self, slot: int, device: str, card: Card | None, free: float | None) -> Obstacle | None:
        lease = None
        uuid = _uuid(device, card) if self._is_shared(device) else None
        if uuid is not None and self._capacity is not None:
            lease = self._leases.take(uuid, self._capacity.trials_per_device)
            if lease is None:
                return _NO_SLOT, device, self._holders(uuid), self._capacity.trials_per_device
        lacking = 0 if free is None else self._need(device, uuid) - free
        if lacking > 0:
            if lease is not None:
                lease.release()
            return _LACKS, device if gpu_index(device) is not None else "this machine", lacking / 1e9
        self._admitted[slot] = _Admitted(device, lease)
        return None

    def _need(self, device: str, uuid: str | None) -> float:
        """Free bytes that a further trial needs, with what the trials that have not reported yet will take."""
        beside = self._beside(device, uuid)
        return self._need_of_one(device) * (1 + beside.count(None)) if beside else 0

    def _need_of_one(self, device: str) -> float:
        return MARGIN * self._largest.get(_kind(device), memory_estimate(self._preset))

    def _beside(self, device: str, uuid: str | None) -> list[float | None]:
        """Bytes that the trials on a device hold, ours and those of this user's other tuners. None: not reported."""
        ours = [admitted.held for admitted in self._admitted.values() if admitted.device == device]
        notes = self._leases.notes(uuid) if uuid is not None else []
        return ours + [note.held for note in notes if note.pid != os.getpid()]

    def _holders(self, uuid: str) -> str:
        assert self._capacity is not None
        pids = sorted({note.pid for note in self._leases.notes(uuid, self._capacity.trials_per_device)})
        return f"process {', '.join(map(str, pids))} runs trials" if pids else "another process runs trials"

    def _log_once(self, obstacle: Obstacle) -> None:
        key = obstacle[0], obstacle[1]
        if key not in self._logged:
            self._logged.add(key)
            log.warning(*obstacle)

    def _forget(self, device: str, *formats: str) -> None:
        """These obstacles are gone, and are logged again when they come back."""
        self._logged -= {(text, device) for text in formats}


class FreeAdmission:
    """Admits every trial at once, for executors whose machines decide; see `smart_tuner.executors.Admission`."""

    def enter(self, slot: int, device: str, cancelled: threading.Event, is_needed: Callable[[], bool]) -> bool:
        return not cancelled.is_set()

    def note_held(self, slot: int, held: float) -> None:
        pass

    def leave(self, slot: int) -> None:
        pass


def _uuid(device: str, card: Card | None) -> str:
    return card.uuid if card else gpu_name(gpu_index(device) or 0)


def _kind(device: str) -> str:
    return device.partition(":")[0]
