"""What of a trial at work on a node has to go home: new lines, new bytes of what grows, files that were replaced.

Keeps no record of what was sent: whoever asks says what it has, so that an answer that was lost on its way is given
again. Nothing here needs Ray.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from trainer.protocol import EventKind, RunDir, parse_lines

SEND_BYTES = 16 * 2**20  # of a file, at once
LOG_BYTES = 4 * 2**20  # of a log that grows faster than it is fetched, the end
_NAMES = RunDir(Path())
LAST, PREVIOUS = _NAMES.last_checkpoint.as_posix(), _NAMES.previous_checkpoint.as_posix()
LOG, TENSORBOARD = _NAMES.log.name, "tensorboard"
FOLDERS = (_NAMES.last_checkpoint.parent, _NAMES.alignments, _NAMES.samples)  # whose files are replaced as a whole
_FOLLOWED_SECONDS = 2.0  # between two looks at what grows, events aside
_ANNOUNCING = (EventKind.CHECKPOINT, EventKind.ARTIFACT)

Stamp = tuple[int, int, int]  # inode, size, time in ns


@dataclass
class Have:
    """What the tuner has: so many bytes of the node's files that grow; stamps of those that are replaced.

    shown: events that it knows of, however many bytes they have.
    """

    events: int
    shown: int = 0
    grown: dict[str, int] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)


@dataclass(frozen=True)
class Growth:
    """What came to a file that grows; size: up to where that brings it."""

    name: str
    data: bytes
    size: int


@dataclass(frozen=True)
class Replaced:
    """A file to fetch, under its number, before the events are shown to anybody."""

    name: str
    number: int
    stamp: Stamp


@dataclass(frozen=True)
class Delivery:
    """events: whole lines; size: of the record on the node up to there."""

    events: bytes
    size: int
    replaced: tuple[Replaced, ...]
    grown: tuple[Growth, ...]


class Outgoing:
    """Of one trial, whose trainer may be at work. folder: holds `tensorboard`, and `fetch`, which is made here."""

    def __init__(self, run_dir: RunDir, folder: Path) -> None:
        self._run_dir, self._folder = run_dir, folder
        self._followed = 0.0
        self._links = 0  # made so far; a number means one file, even to whoever asks late

    def delivery(self, have: Have, ended: bool) -> Delivery:
        """Events and files such that the files are as new as the events say, and no event is missing that they know of.

        Else a trial that goes on elsewhere would tell a report twice, or never. ended: nobody writes any more, and
        this is all.
        """
        lines, size = _whole_lines(self._run_dir.events, have.events)
        events, replaced, look = lines, tuple[Replaced, ...](), ended
        while look or _announces(lines):
            replaced, look = self.link(have), False
            lines, size = _whole_lines(self._run_dir.events, size)
            events += lines
        return Delivery(events, size, replaced, tuple(self._grown(have, ended)))

    def link(self, have: Have) -> tuple[Replaced, ...]:
        """Links keep the files as they are, whatever the trainer writes in their place."""
        fetch = self._folder / "fetch"
        shutil.rmtree(fetch, ignore_errors=True)
        fetch.mkdir()
        found = list[Replaced]()
        # A trainer saves `last.pt` last, since that knows of all others: the others may be newer, never older.
        for name in sorted(self.stamps(), key=lambda name: name != LAST):
            self._links += 1
            with suppress(FileNotFoundError):  # removed this moment
                (link := fetch / str(self._links)).hardlink_to(self._run_dir.path / name)
                if (stamp := _stamp(link)) != have.stamps.get(name):
                    found.append(Replaced(name, self._links, stamp))
        return tuple(found)

    def stamps(self) -> dict[str, Stamp]:
        """Of the files that are replaced; not of a checkpoint that went home when it was the last one."""
        found = {}
        for folder in FOLDERS:
            for path in (self._run_dir.path / folder).glob("[!.]*"):
                name = path.relative_to(self._run_dir.path).as_posix()
                with suppress(FileNotFoundError):
                    if path.is_file() and name != PREVIOUS:
                        found[name] = _stamp(path)
        return found

    def read(self, number: int, offset: int) -> bytes:
        """Of a file of the last delivery."""
        with (self._folder / "fetch" / str(number)).open("rb") as file:
            file.seek(offset)
            return file.read(SEND_BYTES)

    def _grown(self, have: Have, ended: bool) -> Iterator[Growth]:
        if not ended and time.monotonic() - self._followed < _FOLLOWED_SECONDS:
            return
        self._followed = time.monotonic()
        for name, path in self._growing():
            had = have.grown.get(name, 0)
            with suppress(FileNotFoundError), path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                had = had if had <= size else 0  # its beginning was cut
                left_out = size - had - LOG_BYTES if name == LOG else 0
                file.seek(had + max(0, left_out))
                if data := file.read():
                    note = f"\n... {left_out} bytes are left out here ...\n".encode() if left_out > 0 else b""
                    yield Growth(name, note + data, file.tell())

    def _growing(self) -> Iterator[tuple[str, Path]]:
        yield LOG, self._run_dir.log
        for path in sorted((self._folder / TENSORBOARD).rglob("*")):
            if path.is_file():
                yield path.relative_to(self._folder).as_posix(), path


def _stamp(path: Path) -> Stamp:
    known = path.stat()
    return known.st_ino, known.st_size, known.st_mtime_ns


def _whole_lines(path: Path, offset: int) -> tuple[bytes, int]:
    """What there is from `offset` on, and the offset to read on from; a file that was cut is read again, as a whole."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < offset:
                offset = 0
            file.seek(offset)
            raw = file.read()
    except FileNotFoundError:
        return b"", offset
    lines = raw[: raw.rfind(b"\n") + 1]
    return lines, offset + len(lines)


def _announces(lines: bytes) -> bool:
    """Whether an event in there says that a file was written."""
    return any(event.kind in _ANNOUNCING for event in parse_lines(BytesIO(lines)))
