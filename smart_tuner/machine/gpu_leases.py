"""The places on the GPUs of this machine, shared among all tuners of this user, whatever study they work on.

A GPU has places 0 to N-1, where N is the tuner's own setting; a trial at work on it holds one, by a lock on a file
`<uuid of the GPU>.<place>.lock` in a folder of the user. The kernel lets go of the lock when the tuner dies. A tuner
with a smaller N looks at the first places alone, so that N limits its own trials, beside whoever holds those; it does
not limit those of a tuner with a larger one. Other users' trials are not known here.
"""

import json
import logging
import os
import re
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_tuner.machine.process_identity import ProcessIdentity
from trainer.files import try_lock

log = logging.getLogger(__name__)

_NO_FOLDER = "%s: cannot be used (%s); other tuners of this machine may use the same GPUs at the same time"


@dataclass(frozen=True)
class Note:
    """What the holder of a place has written of itself. held: bytes on the GPU, None before the trainer reports it."""

    pid: int  # of the tuner
    held: float | None


class Lease:
    """A place on a GPU, held until `release` or the end of this process."""

    def __init__(self, file: int | None) -> None:
        """file: descriptor of the file, locked; None: a place that nobody else knows of."""
        self._file = file
        self.report(None)

    def report(self, held: float | None) -> None:
        """Write the bytes that the trial holds, for the tuners that share the GPU."""
        me = ProcessIdentity.of_this_process()
        self._write(json.dumps({**me.as_mapping(), "held": held}))

    def release(self) -> None:
        if self._file is not None:
            self._write("")
            os.close(self._file)
            self._file = None

    def _write(self, text: str) -> None:
        if self._file is not None:
            with suppress(OSError):  # the disk is full: the lock counts, the note is a courtesy
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, text.encode(), 0)


class Leases:
    """folder: None stands for the one that all tuners of this user share. It is made when the first place is taken."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder: Path | None = folder or shared_folder()

    def take(self, uuid: str, places: int) -> Lease | None:
        """One of the first `places` of a GPU; None where all are held. Without a folder, there is a place for all."""
        if self._folder is None:
            return Lease(None)
        try:
            _make_private(self._folder)
            locked = (_locked(path) for path in self._files(uuid, places))
            file = next((file for file in locked if file is not None), None)
        except OSError as error:
            log.warning(_NO_FOLDER, self._folder, error.strerror or error)
            self._folder = None
            return Lease(None)
        return None if file is None else Lease(file)

    def notes(self, uuid: str, places: int | None = None) -> list[Note]:
        """Of those that hold a place of a GPU, one of the first `places` or any; ours and other processes'."""
        if self._folder is None:
            return []
        files = self._folder.glob(f"{_safe(uuid)}.*.lock") if places is None else self._files(uuid, places)
        return [note for path in files if (note := _note(path))]

    def _files(self, uuid: str, places: int) -> list[Path]:
        assert self._folder is not None
        return [self._folder / f"{_safe(uuid)}.{place}.lock" for place in range(places)]


def shared_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"smart-tuner-{os.getuid()}" / "devices"


def _make_private(folder: Path) -> None:
    """Raises OSError where it cannot be made, or belongs to somebody else: anybody may write where it lies."""
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = part.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise OSError("it is no folder of this user's")
        if found.st_mode & 0o022:
            raise OSError("others may write there")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError("it cannot be written to")


def _locked(path: Path) -> int | None:
    """Descriptor of the file, locked; None where somebody else has the lock."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if try_lock(file) and os.path.samestat(os.fstat(file), path.stat()):  # else it was removed between the two
            return file
    except FileNotFoundError:
        pass
    os.close(file)
    return None


def _note(path: Path) -> Note | None:
    """None where nobody holds the place, or whoever did is dead."""
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        holder = ProcessIdentity.from_mapping(note)
        return Note(holder.pid, note["held"]) if holder.is_here() and holder.is_alive() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _safe(uuid: str) -> str:
    return re.sub(r"[^\w-]", "_", uuid)
