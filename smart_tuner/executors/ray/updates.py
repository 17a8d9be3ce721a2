"""What the tuner has to fetch of a trial on a node: new events, new bytes of growing files, replaced files.

Does not record what was sent: each request says what the tuner has, so that a lost answer is sent again. Needs no Ray.
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

SEND_BYTES = 16 * 2**20  # of a file, per call
LOG_BYTES = 4 * 2**20  # of a log that grew by more than this since the last update, only the end
_NAMES = RunDir(Path())
LAST, PREVIOUS = _NAMES.last_checkpoint.as_posix(), _NAMES.previous_checkpoint.as_posix()
LOG, TENSORBOARD = _NAMES.log.name, "tensorboard"
SUSPECTS = _NAMES.suspects.name
FOLDERS = (_NAMES.last_checkpoint.parent, _NAMES.alignments, _NAMES.samples)  # their files are replaced as a whole
_APPENDED_SECONDS = 2.0  # between two checks of growing files other than the events
_ANNOUNCING = (EventKind.CHECKPOINT, EventKind.ARTIFACT)

Stamp = tuple[int, int, int]  # inode, size, time in ns


@dataclass
class Received:
    """What the tuner has: how many bytes of growing files, stamps of replaced files.

    events: in bytes; shown: in number, as `Update.shown`.
    """

    events: int
    shown: int = 0
    appended: dict[str, int] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)


@dataclass(frozen=True)
class Appended:
    """New bytes of a growing file. size: of the file on the node, with them."""

    name: str
    data: bytes
    size: int


@dataclass(frozen=True)
class Replaced:
    """A file to fetch by its number, before the events are shown to anybody."""

    name: str
    number: int
    stamp: Stamp


@dataclass(frozen=True)
class Delivery:
    """events: whole lines; size: of the record on the node, up to their end."""

    events: bytes
    size: int
    replaced: tuple[Replaced, ...]
    appended: tuple[Appended, ...]


class Updates:
    """The updates of one trial, whose trainer may be running. folder: with `tensorboard`, and `fetch`, made here."""

    def __init__(self, run_dir: RunDir, folder: Path) -> None:
        self._run_dir = run_dir
        self._folder = folder
        self._appended_at = 0.0  # when growing files were last checked
        self._links = 0  # made so far; a number is never used for a second file

    def delivery(self, received: Received, ended: bool) -> Delivery:
        """Events and files that agree: each file is as new as the events say, and no event that a file includes is left
        out. Otherwise a trial that continues elsewhere would report something twice, or never.

        ended: the trainer is gone, and this is the last delivery.
        """
        lines, size = _whole_lines(self._run_dir.events, received.events)
        events = lines
        replaced: tuple[Replaced, ...] = ()
        must_link = ended
        while must_link or _announces(lines):
            replaced = self.link(received)
            must_link = False
            lines, size = _whole_lines(self._run_dir.events, size)
            events += lines
        return Delivery(events, size, replaced, tuple(self._appended(received, ended)))

    def link(self, received: Received) -> tuple[Replaced, ...]:
        """Link the files, so that they stay as they are when the trainer replaces them."""
        fetch = self._folder / "fetch"
        shutil.rmtree(fetch, ignore_errors=True)
        fetch.mkdir()
        found = list[Replaced]()
        # A trainer saves `last.pt` last, since it refers to all others. Linked first, it is never newer than they are.
        for name in sorted(self.stamps(), key=lambda name: name != LAST):
            self._links += 1
            with suppress(FileNotFoundError):  # removed meanwhile
                (link := fetch / str(self._links)).hardlink_to(self._run_dir.path / name)
                if (stamp := _stamp(link)) != received.stamps.get(name):
                    found.append(Replaced(name, self._links, stamp))
        return tuple(found)

    def stamps(self) -> dict[str, Stamp]:
        """Name -> stamp of the replaced files, without the previous checkpoint, which was sent as the last one."""
        in_folders = (path for folder in FOLDERS for path in (self._run_dir.path / folder).glob("[!.]*"))
        found = {}
        for path in (*in_folders, self._run_dir.suspects):
            name = path.relative_to(self._run_dir.path).as_posix()
            with suppress(FileNotFoundError):
                if path.is_file() and name != PREVIOUS:
                    found[name] = _stamp(path)
        return found

    def read(self, number: int, offset: int) -> bytes:
        """A part of a file of the last delivery."""
        with (self._folder / "fetch" / str(number)).open("rb") as file:
            file.seek(offset)
            return file.read(SEND_BYTES)

    def _appended(self, received: Received, ended: bool) -> Iterator[Appended]:
        if not ended and time.monotonic() - self._appended_at < _APPENDED_SECONDS:
            return
        self._appended_at = time.monotonic()
        for name, path in self._growing_files():
            had = received.appended.get(name, 0)
            with suppress(FileNotFoundError), path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                had = had if had <= size else 0  # its beginning was cut
                left_out = size - had - LOG_BYTES if name == LOG else 0
                file.seek(had + max(0, left_out))
                if data := file.read():
                    note = f"\n... {left_out} bytes are left out here ...\n".encode() if left_out > 0 else b""
                    yield Appended(name, note + data, file.tell())

    def _growing_files(self) -> Iterator[tuple[str, Path]]:
        yield LOG, self._run_dir.log
        for path in sorted((self._folder / TENSORBOARD).rglob("*")):
            if path.is_file():
                yield path.relative_to(self._folder).as_posix(), path


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _whole_lines(path: Path, offset: int) -> tuple[bytes, int]:
    """The whole lines after `offset`, and the offset of their end. A file that was cut is read again from its start."""
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
    """Whether one of the events names a file that was written."""
    return any(event.kind in _ANNOUNCING for event in parse_lines(BytesIO(lines)))
