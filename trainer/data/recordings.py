"""Where a list's recordings lie: their real paths under the corpus's folder, and the stamps that tell a change.

One look at the file per recording: a list of 131,000 is gone through at every start of a trainer.
Does not open them: `trainer.audio.read` does.
"""

import os
import stat
from functools import lru_cache
from pathlib import Path

from trainer.errors import CorpusError

FOLDERS = 1024  # whose real paths are remembered


class Recordings:
    """Those under one folder. `root` is its real path."""

    def __init__(self, folder: Path) -> None:
        self.root = os.path.realpath(folder)
        self._prefix = self.root.rstrip(os.sep) + os.sep
        self._real_folder = lru_cache(FOLDERS)(os.path.realpath)

    def find(self, name: str, origin: str) -> tuple[str, str]:
        """Return the recording's real path relative to `root`, and its stamp: size in bytes and time in ns.

        Raises CorpusError, which begins with `origin`, where it is missing or outside `root`.
        """
        try:
            path, status = self._look(name)
        except (OSError, ValueError) as error:  # a name that is too long, or that holds a zero byte
            raise CorpusError(f"{origin}: {short(name)} cannot be the name of a file ({_reason(error)}).") from error
        if not path.startswith(self._prefix):
            raise CorpusError(
                f"{origin}: {name!r} leads out of the corpus's folder {self.root}; put the recording under it."
            )
        if status is None or not stat.S_ISREG(status.st_mode):
            raise CorpusError(
                f"{origin}: the recording {Path(self.root, name)} does not exist; put it there, or remove the line."
            )
        return path[len(self._prefix) :], f"{status.st_size} {status.st_mtime_ns}"

    def _look(self, name: str) -> tuple[str, os.stat_result | None]:
        """The real path, and what is there; None where nothing is."""
        folder, last = os.path.split(os.path.join(self.root, name))  # noqa: PTH118 (a Path would take longer than all the rest)
        path = os.path.join(self._real_folder(folder), last)  # noqa: PTH118
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode) or last in ("", os.curdir, os.pardir):
                path = os.path.realpath(path)
                status = os.stat(path)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return path, None
        return path, status


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
