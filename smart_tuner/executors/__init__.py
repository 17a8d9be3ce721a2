"""Where trials run. An executor starts the trainer in a trial directory, yields its events, and stops it.

Every implementation passes tests/contract/test_executors.py. The list of them: `smart_tuner.executors.registry`.
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
    """The settings of the installation that executors use."""

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

    device: "cuda:1" is that GPU of the machine. The trial sees no other GPU, so that it can continue on another one.
    offset: bytes of the record that were read already, from earlier starts; `Run.events` yields the events after them.
    is_leaving: whether this process is to exit, and waits no longer for a trainer that cannot be killed.
    """

    run_dir: RunDir
    device: str
    threads: int  # of the CPU
    offset: int = 0
    is_leaving: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Exit:
    """How the process ended: exit code as of subprocess (negative: signal), and the last lines of its log.

    lost: why the end is unknown, since the machine that ran it is gone; the exit code then means nothing.
    left: the number of the trainer's process, which was killed on this machine, and may still be there.
    """

    exit_code: int
    log_tail: str
    lost: str | None = None
    left: int | None = None


class Run(Protocol):
    """One running trainer. One thread calls `events`; `stop` and `kill` may be called from any, and repeatedly."""

    def events(self) -> Iterator[Event]:
        """The events after `Launch.offset`, then those to come; ends when the trainer is gone.

        Yields each event once. A record that is cut meanwhile, by a fault of the disk, is read again from its start.
        """
        ...

    def stop(self) -> None:
        """Ask it to save its state and end; after the executor's grace time it is killed with all its children."""
        ...

    def kill(self) -> None:
        """End it at once, with all its children."""
        ...

    @property
    def exit(self) -> Exit:
        """Only after `events` has ended."""
        ...


class Admission(Protocol):
    """Decides when a trial may start on its device. Shared by the slots of one process. Thread-safe."""

    def enter(self, slot: int, device: str, cancelled: threading.Event, is_needed: Callable[[], bool]) -> bool:
        """Wait until the trial of `slot` may start. Call `leave` after it.

        False when `cancelled` is set before, or `is_needed`, which is called while it waits, returns False.
        """
        ...

    def note_held(self, slot: int, held: float) -> None:
        """Note that the trainer of `slot` holds `held` bytes of its device's memory."""
        ...

    def leave(self, slot: int) -> None:
        """The trial of `slot` has ended. Does nothing for a slot without a trial."""
        ...


class Executor(Protocol):
    """runs_may_wait: its runs may wait for capacity that others hold, and have no events until the trainer starts."""

    @property
    def runs_may_wait(self) -> bool: ...

    def capacity(self, demand: "Demand") -> "Capacity":
        """How many trials run at once, at least one, and on which devices. May be called before any launch.

        Raises SettingsError for a device that does not exist.
        """
        ...

    def admission(self, capacity: "Capacity", preset: str) -> Admission:
        """Decides when each trial of `capacity` may start. preset: the one that needs the most memory."""
        ...

    def launch(self, launch: Launch) -> AbstractContextManager[Run]:
        """Start the trainer. Whatever happens in the block, no process of it is left after it but `Exit.left`."""
        ...

    def close(self) -> None:
        """End what was prepared for further launches. Launching again is allowed."""
        ...
