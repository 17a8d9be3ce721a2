"""The interface between the trainer and the process that watches it: files, events, exit codes.

Standard library only, so that both sides can import it at no cost. Covers the names of the files in a trial directory
(`RunDir`), the record of a trial (`Event`, `EventWriter`, `EventReader`) and the exit codes (`ExitCode`). Does not
cover what the events mean for a study.
"""

import io
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import IO, Any


class ExitCode(IntEnum):
    """How a trainer process ended. Codes that are not listed are crashes; negative ones are signals."""

    FINISHED = 0  # the whole budget was trained
    CRASHED = 1  # an uncaught exception; trainer.log has the traceback
    BAD_INPUT = 2  # the configuration or the corpus is invalid; the message says how to fix it
    STOPPED = 10  # a stop was requested (SIGTERM, or the watching process died); last.pt is saved
    DIVERGED = 11  # the loss is not finite and rolling back did not help
    OUT_OF_MEMORY = 12  # the device or the machine has too little memory for these parameters
    NO_SPACE = 13  # the disk is full or cannot be written; the last saved checkpoint is whole


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    """NaN and Infinity are numbers: a loss may be either."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


class EventKind(StrEnum):
    """What an event reports. The comments name the keys of `Event.data`; those in `REQUIRED` are always there."""

    # config, parameters (count), resumed (bool), versions, device and machine, kernels (as chosen, before they are
    # compiled); of a run that began with a voice: start (figures of a validation before the first update), and at first
    # warm_start (voice; symbols: taken, new, left_out)
    STARTED = "started"
    PROGRESS = "progress"  # loss and its parts, gradient_norm, lr, frames_per_second, memory_bytes
    # index (1..reports; 0: of the voice it began with), best (so far), loss, alignment and its parts, gate figures
    VALIDATION = "validation"
    CHECKPOINT = "checkpoint"  # path (relative to the trial directory), best (bool)
    ARTIFACT = "artifact"  # path, what ("alignment" | "mel" | "sample"), text, free_running (bool: without a teacher)
    CORRECTION = "correction"  # what, cause, reason, before, after: see `trainer.corrections.correction`
    FREE_RUNNING = "free_running"  # alignment and its parts, share that reached the step limit, duration error
    FINISHED = "finished"  # seconds, best (figures of the best validation), reason, kernels (those that ran)
    STOPPED = "stopped"  # reason, kernels
    FAILED = "failed"  # reason, exit_code


# A line where one of these keys is missing, or has a value of another type, is no event of that kind.
REQUIRED: Mapping[EventKind, Mapping[str, Callable[[object], bool]]] = {
    EventKind.STARTED: {"config": _is_mapping},
    EventKind.PROGRESS: {"loss": _is_number, "frames_per_second": _is_amount, "memory_bytes": _is_amount},
    EventKind.VALIDATION: {"index": _is_count, "best": _is_flag, "loss": _is_number, "alignment": _is_number},
    EventKind.CHECKPOINT: {"path": _is_text, "best": _is_flag},
    EventKind.ARTIFACT: {"path": _is_text, "what": _is_text},
    EventKind.CORRECTION: {"what": _is_text, "reason": _is_text},
    EventKind.FREE_RUNNING: {"alignment": _is_number},
    EventKind.FINISHED: {"seconds": _is_amount},
    EventKind.STOPPED: {"reason": _is_text},
    EventKind.FAILED: {"reason": _is_text, "exit_code": _is_count},
}
assert set(REQUIRED) == set(EventKind)

LAST_SECOND = 253402300799.0  # of the year 9999: a later time cannot be shown as a date
CHUNK = 4 * 2**20  # bytes; the most that one look reads of a record
LONGEST_LINE = 2**20  # bytes; the longest real event holds a configuration, some thousands of bytes


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
        """Raises ValueError where the line is no event: see `REQUIRED` for what its data must hold."""
        try:
            raw = json.loads(line, parse_int=_int64)
            if "\\u" in line:
                json.dumps(raw, ensure_ascii=False).encode()  # half of a surrogate pair is no text
            return _event(raw)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"no event: {line[:200]!r} ({error})") from error


def _int64(digits: str) -> int:
    """Refuses larger integers: no trainer writes them, and they fit neither a float nor a database column."""
    value = int(digits)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{digits[:30]} is too large")
    return value


def _event(raw: dict[str, Any]) -> Event:
    kind, data, time = EventKind(raw["kind"]), raw["data"], raw["time"]
    if not (_is_count(raw["frames"]) and _is_count(raw["update"])):
        raise ValueError("frames and update must be counts")
    if not _is_amount(time) or time > LAST_SECOND:
        raise ValueError("time must be seconds since the epoch")
    if not isinstance(data, dict):
        raise ValueError("data must be an object")
    for key, fits in REQUIRED[kind].items():
        if not fits(data[key]):
            raise ValueError(f"{kind}: {key} must not be {str(data[key])[:100]}")
    return Event(kind, raw["frames"], raw["update"], data, float(time))


@dataclass(frozen=True)
class RunDir:
    """Names every file of one trial.

    Only `create` writes to the disk; it must not be called while a trainer is at work in the directory.
    """

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
    def previous_checkpoint(self) -> Path:
        """The `last_checkpoint` before the present one, in case a disk fault tears the present one."""
        return self.path / "checkpoints" / "previous.pt"

    @property
    def best_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "best.pt"

    @property
    def reported_checkpoint(self) -> Path:
        """The state after the last report; where `corrections.kind` is `all`."""
        return self.path / "checkpoints" / "reported.pt"

    @property
    def aligned_checkpoint(self) -> Path:
        """The state after the last report at which attention was aligned; where `corrections.kind` is `all`."""
        return self.path / "checkpoints" / "aligned.pt"

    @property
    def suspects(self) -> Path:
        """The table of clips whose training figures are outliers."""
        return self.path / "suspects.csv"

    @property
    def alignments(self) -> Path:
        return self.path / "alignments"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    def file(self, name: str) -> Path | None:
        """The file that an event names, relative to this directory; None where it does not exist, or is outside."""
        path = self.path / name
        try:
            return path if path.is_file() and path.resolve().is_relative_to(self.path.resolve()) else None
        except (OSError, ValueError):  # not a valid file name
            return None

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return self.last_checkpoint.exists() or self.previous_checkpoint.exists()

    def create(self) -> None:
        for folder in (self.last_checkpoint.parent, self.alignments, self.samples):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.last_checkpoint.parent):
            for unfinished in folder.glob(".*.tmp*"):  # left by a process that was killed while writing
                unfinished.unlink(missing_ok=True)


class EventWriter:
    """Appends events to a file. One writer per trial directory at a time; not thread-safe.

    A killed process may have left half a line: the first append ends that line, so that it spoils no other. Raises
    OSError where the disk is full.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        if self._file.tell() and not _ends_with_newline(self._file):
            self._file.write(b"\n")

    def write(self, event: Event) -> None:
        # A reason may contain a file name that is not valid text; no reader could use that part.
        self._file.write(event.to_line().encode(errors="replace"))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _ends_with_newline(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


class EventReader:
    """Reads the record at `path` as it grows. For one thread.

    offset: bytes of the record that are read. A reader in any process that starts there continues where this one
    stopped. choose: picks the lines to parse among the whole lines of a look.
    """

    def __init__(
        self, path: Path, offset: int = 0, choose: Callable[[Iterable[bytes]], Iterable[bytes]] = iter
    ) -> None:
        self.path = path
        self.offset = offset
        self._choose = choose

    def read(self) -> Iterator[Event]:
        """All complete events from `offset` on; raises OSError where the disk fails.

        Reads look by look, so that a long record needs no more memory than one look.
        """
        before = -1
        while self.offset != before:
            before = self.offset
            yield from self.look()

    def look(self) -> list[Event]:
        """The events in the next `CHUNK` bytes. More may follow, even where it returns none.

        A half-written last line is left for the next look. A complete line that is no event (after a disk fault or a
        killed writer) is skipped: the record before and after it is valid. A line longer than `LONGEST_LINE` is
        skipped, too; the offset may then be inside that line, and the next look skips the rest of it. A file shorter
        than the offset was cut by a disk fault: it is read again from its start, and events may come twice. A file that
        does not exist yet has no events.
        """
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.offset:
                    self.offset = 0
                file.seek(max(0, self.offset - 1))
                within_a_line = self.offset > 0 and file.read(1) != b"\n"
                raw = file.read(min(CHUNK, size - self.offset))  # no more memory than needed: it may be scarce
        except FileNotFoundError:
            return []
        end = raw.rfind(b"\n") + 1
        if not end:
            too_long = within_a_line or len(raw) > LONGEST_LINE
            self.offset += len(raw) if too_long else 0
            return []
        begin = raw.index(b"\n") + 1 if within_a_line else 0
        self.offset += end
        return list(parse_lines(self._choose(io.BytesIO(raw[begin:end]))))


def all_events(path: Path) -> list[Event]:
    """The complete events of a record of any length."""
    return list(EventReader(path).read())


def parse_lines(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events among whole lines; other lines are skipped."""
    for line in lines:
        if len(line) > LONGEST_LINE:
            continue
        try:
            yield Event.from_line(line.decode())
        except ValueError:
            continue
