"""Where trials run. An executor starts the trainer in a trial directory, yields its events, and stops it.

Every implementation passes tests/contract/test_executors.py. Which there are: `smart_tuner.executors.registry`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trainer.protocol import Event, RunDir

if TYPE_CHECKING:
    from smart_tuner.machine.capacity import Capacity, Demand


class ExecutorSettings(Protocol):
    """What an executor may be made of: those settings of the installation that concern it."""

    @property
    def executor(self) -> str: ...  # its name in the registry

    @property
    def stop_grace_seconds(self) -> float: ...

    @property
    def trials_per_device(self) -> int | None: ...

    @property
    def ray_address(self) -> str | None: ...


@dataclass(frozen=True)
class Launch:
    """One trial to start; `run_dir.config` is written.

    device: "cuda:1" is that GPU of the machine; the trial sees no other, so that it may be continued on another one.
    offset: bytes of the record that were read already, of earlier starts; `Run.events` yields what comes after them.
    """

    run_dir: RunDir
    device: str
    threads: int  # of the CPU
    offset: int = 0


@dataclass(frozen=True)
class Outcome:
    """How the process ended: exit code as of subprocess (negative: signal), and the last lines of its log.

    lost: why nobody knows more, the machine that ran it being gone; the exit code then says nothing.
    """

    exit_code: int
    log_tail: str
    lost: str | None = None


class Run(Protocol):
    """One trainer at work. `events` belongs to one thread; `stop` and `kill` may be called from any, and repeated."""

    def events(self) -> Iterator[Event]:
        """The events after `Launch.offset`, then those to come; ends when the trainer is gone.

        Each once, but for a record that a fault of the disk cuts meanwhile, which is read again from its beginning.
        """
        ...

    def stop(self) -> None:
        """Ask to save and leave; after the executor's grace time it is killed with all its children."""
        ...

    def kill(self) -> None:
        """End it at once, with all its children."""
        ...

    @property
    def outcome(self) -> Outcome:
        """Only after `events` has ended."""
        ...


class Admission(Protocol):
    """Whether a trial may begin on its device now. Shared by the slots of one process; safe between threads."""

    def enter(self, slot: int, device: str, given_up: threading.Event, wanted: Callable[[], bool]) -> bool:
        """Wait until the trial of `slot` may begin. Follow it with `leave`.

        False when `given_up` is set before, or `wanted`, which is asked while it waits, says that no trial is left.
        """
        ...

    def note_held(self, slot: int, held: float) -> None:
        """The trainer of `slot` holds so many bytes of its device's memory."""
        ...

    def leave(self, slot: int) -> None:
        """The trial of `slot` has ended; without one, nothing happens."""
        ...


class Executor(Protocol):
    """runs_may_wait: its runs may wait for capacity that others hold, and say nothing until the trainer begins."""

    @property
    def runs_may_wait(self) -> bool: ...

    def capacity(self, demand: "Demand") -> "Capacity":
        """How many trials run at once, at least one, and on which devices. Raises SettingsError for what is not there.

        Needs no launch before it.
        """
        ...

    def admission(self, capacity: "Capacity", preset: str) -> Admission:
        """What decides when each trial of `capacity` may begin. preset: the one that needs the most memory."""
        ...

    def launch(self, launch: Launch) -> AbstractContextManager[Run]:
        """Start the trainer. Leaving the block leaves no process of this trial behind, however it is left."""
        ...

    def close(self) -> None:
        """End what was kept ready for further launches. There may be further launches all the same."""
        ...
