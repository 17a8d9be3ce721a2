"""The slots on the GPUs of this machine, shared among all tuners of this user, on whatever study they work.

A GPU has slots 0 to N-1, where N is the tuner's setting `trials_per_device`. A trial that runs on it holds one, by a
lock on the file `<uuid of the GPU>.<slot>.lock` in a folder of the user. The kernel releases the lock when the tuner
dies. A tuner with a smaller N uses the first slots only: N limits its own trials, together with those that hold these
slots, but not the trials of a tuner with a larger N. Trials of other users are not known here.
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
    """What the holder of a slot has written into its file. held: bytes on the GPU, None before any were reported."""

    pid: int  # of the tuner
    held: float | None


class Lease:
    """A slot on a GPU, held until `release` or the end of this process."""

    def __init__(self, file: int | None) -> None:
        """file: descriptor of the locked file; None: a slot that other tuners do not know of."""
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
            with suppress(OSError):  # the disk is full: only the lock matters
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, text.encode(), 0)


class Leases:
    """folder: None: the one that all tuners of this user share. It is made when the first slot is taken."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder: Path | None = folder or shared_folder()

    def take(self, uuid: str, slots: int) -> Lease | None:
        """One of the first `slots` of a GPU; None where all are held. Without a folder there are slots for all."""
        if self._folder is None:
            return Lease(None)
        try:
            _make_private(self._folder)
            locked = (_locked(path) for path in self._files(uuid, slots))
            file = next((file for file in locked if file is not None), None)
        except OSError as error:
            log.warning(_NO_FOLDER, self._folder, error.strerror or error)
            self._folder = None
            return Lease(None)
        return None if file is None else Lease(file)

    def notes(self, uuid: str, slots: int | None = None) -> list[Note]:
        """The notes of all holders of a GPU's first `slots`, or of any slot; ours and those of other processes."""
        if self._folder is None:
            return []
        files = self._folder.glob(f"{_safe(uuid)}.*.lock") if slots is None else self._files(uuid, slots)
        return [note for path in files if (note := _note(path))]

    def _files(self, uuid: str, slots: int) -> list[Path]:
        assert self._folder is not None
        return [self._folder / f"{_safe(uuid)}.{slot}.lock" for slot in range(slots)]


def shared_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"smart-tuner-{os.getuid()}" / "devices"


def _make_private(folder: Path) -> None:
    """Raises OSError where it cannot be made, or another user could write to it: its parent is open to all."""
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = part.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise OSError("it is no folder of this user")
        if found.st_mode & 0o022:
            raise OSError("others may write there")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError("it cannot be written to")


def _locked(path: Path) -> int | None:
    """Descriptor of the locked file; None where another process has the lock."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if try_lock(file) and os.path.samestat(os.fstat(file), path.stat()):  # else it was removed meanwhile
            return file
    except FileNotFoundError:
        pass
    os.close(file)
    return None


def _note(path: Path) -> Note | None:
    """None where nobody holds the slot, or its holder is dead."""
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        holder = ProcessIdentity.from_mapping(note)
        return Note(holder.pid, note["held"]) if holder.is_here() and holder.is_alive() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _safe(uuid: str) -> str:
    return re.sub(r"[^\w-]", "_", uuid)
