"""Where trials run. An executor starts the trainer in a trial directory, yields its events, and stops it.

Every implementation passes tests/contract/test_executors.py.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from trainer.protocol import Event, RunDir


@dataclass(frozen=True)
class Launch:
    """One trial to start; `run_dir.config` is written.

    device: "cuda:1" is that GPU of the machine; the trial sees no other, so that it may be continued on another one.
    """

    run_dir: RunDir
    device: str
    threads: int  # of the CPU


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
        """The whole record of the trial from its first line on, then what comes; ends when the trainer is gone."""
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


class Executor(Protocol):
    """elsewhere: its trials take none of this machine's memory and GPUs."""

    elsewhere: bool

    def launch(self, launch: Launch) -> AbstractContextManager[Run]:
        """Start the trainer. Leaving the block leaves no process of this trial behind, however it is left."""
        ...

    def close(self) -> None:
        """End what was kept ready for further launches. There may be further launches all the same."""
        ...
