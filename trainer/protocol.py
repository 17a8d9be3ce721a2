"""The narrow door between the trainer and whoever watches it: files, events, exit codes.

Standard library only, so that both sides can import it at no cost. What it covers: the names of the
files in a trial directory (`RunDir`), the record of a trial (`Event`, `EventWriter`, `read_events`),
the exit codes (`ExitCode`), and writing a file so that a kill leaves the old or the new one (`write_atomically`).
What it does not: what the events mean for a study.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import IO, Any


class ExitCode(IntEnum):
    """How a trainer process ended. Codes that are not listed are crashes; negative ones are signals."""

    FINISHED = 0  # the whole budget was trained
    CRASHED = 1  # an uncaught exception; trainer.log has the traceback
    BAD_INPUT = 2  # configuration or corpus is at fault; the message says what to mend
    STOPPED = 10  # asked to stop (SIGTERM, or the watching process died); last.pt is saved
    DIVERGED = 11  # the loss is not finite and rolling back did not help
    OUT_OF_MEMORY = 12  # the device's or the machine's memory does not suffice for these parameters


class EventKind(StrEnum):
    """What an event says. `Event.data` holds the keys given here."""

    STARTED = "started"  # config, environment, parameters (count), resumed (bool)
    PROGRESS = "progress"  # loss and its parts, gradient_norm, lr, frames_per_second, memory_bytes
    VALIDATION = "validation"  # index (1..reports), best (so far), loss, alignment and its parts, gate figures
    CHECKPOINT = "checkpoint"  # path (relative to the trial directory), best (bool)
    ARTIFACT = "artifact"  # path, what ("alignment" | "mel" | "sample"), text
    CORRECTION = "correction"  # what, reason, before, after
    FREE_RUNNING = "free_running"  # alignment and its parts, share that reached the step limit, duration error
    FINISHED = "finished"  # seconds, best (figures of the best validation)
    STOPPED = "stopped"  # reason
    FAILED = "failed"  # reason, exit_code


@dataclass(frozen=True)
class Event:
    """One line of `events.jsonl`.

    frames: mel frames of speech seen since the trial began; update: optimiser updates since then;
    time: seconds since the epoch, UTC.
    """

    kind: EventKind
    frames: int
    update: int
    data: dict[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)

    def to_line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")) + "\n"

    @staticmethod
    def from_line(line: str) -> "Event":
        """Raises ValueError where the line is no event."""
        try:
            raw = json.loads(line)
            return Event(
                kind=EventKind(raw["kind"]),
                frames=int(raw["frames"]),
                update=int(raw["update"]),
                data=dict(raw["data"]),
                time=float(raw["time"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no event: {line[:200]!r} ({error})") from error


@dataclass(frozen=True)
class RunDir:
    """Names every file of one trial; touches nothing unless `create` is called, when no trainer is at work in it."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "trainer.log"

    @property
    def last_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.pt"

    @property
    def best_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "best.pt"

    @property
    def alignments(self) -> Path:
        return self.path / "alignments"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    def create(self) -> None:
        for folder in (self.last_checkpoint.parent, self.alignments, self.samples):
            folder.mkdir(parents=True, exist_ok=True)
        for unfinished in self.last_checkpoint.parent.glob(".*.tmp*"):  # of a trainer that was killed while it saved
            unfinished.unlink(missing_ok=True)


class EventWriter:
    """Appends events to a file. One writer per trial directory at a time; not thread-safe.

    A process that was killed may have left half a line: the first append ends it, so that it
    spoils no other line.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        if self._file.tell() and not _ends_with_newline(self._file):
            self._file.write(b"\n")

    def write(self, event: Event) -> None:
        self._file.write(event.to_line().encode())
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _ends_with_newline(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Read the complete events from byte `offset` on; return them and the offset to read on from.

    A half-written last line is left for the next look. A complete line that is no event (a disk
    fault, a killed writer) is skipped: the record before and after it is still good.
    A file that does not exist yet has no events.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            raw = file.read()
    except FileNotFoundError:
        return [], offset
    complete = raw[: raw.rfind(b"\n") + 1]
    return list(_parse(complete)), offset + len(complete)


def _parse(raw: bytes) -> Iterator[Event]:
    for line in raw.splitlines():
        try:
            yield Event.from_line(line.decode())
        except ValueError:
            continue


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a path to write beside `path`; move it there when the block ends well.

    A reader sees the old file or the new one, never half of either, even after a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)  # noqa: PTH105 (the name that says what holds: atomic on one file system)
    finally:
        beside.unlink(missing_ok=True)
