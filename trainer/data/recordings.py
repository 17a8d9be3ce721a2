"""The recordings of a list: their real paths under the corpus's folder, and stamps that change with the files.

One `stat` per recording: a list of 131,000 is checked at every start of a trainer. Does not open the files:
`trainer.data.audio_files` does.
"""

import os
import stat
from functools import lru_cache
from pathlib import Path

from trainer.errors import CorpusError

FOLDERS = 1024  # the number of folders whose real paths are cached


class Recordings:
    """The recordings under one folder. `root` is its real path."""

    def __init__(self, folder: Path) -> None:
        self.root = os.path.realpath(folder)
        self._prefix = self.root.rstrip(os.sep) + os.sep
        self._real_folder = lru_cache(FOLDERS)(os.path.realpath)

    def find(self, name: str, origin: str) -> tuple[str, str]:
        """Return the recording's real path relative to `root`, and its stamp: size in bytes and time in ns.

        Raises CorpusError, which starts with `origin`, where the recording is missing or outside of `root`.
        """
        try:
            path, status = self._stat(name)
        except (OSError, ValueError) as error:  # the name is too long, or has a zero byte
            raise CorpusError(f"{origin}: {short(name)} cannot be a file name ({_reason(error)}).") from error
        if not path.startswith(self._prefix):
            raise CorpusError(
                f"{origin}: {name!r} is outside of the corpus's folder {self.root}; move the recording into it."
            )
        if status is None or not stat.S_ISREG(status.st_mode):
            raise CorpusError(
                f"{origin}: the recording {Path(self.root, name)} does not exist; add it, or remove the line."
            )
        return path[len(self._prefix) :], f"{status.st_size} {status.st_mtime_ns}"

    def _stat(self, name: str) -> tuple[str, os.stat_result | None]:
        """The real path and its status; None where nothing is there."""
        folder, last = os.path.split(os.path.join(self.root, name))  # noqa: PTH118 (a Path takes longer than all else here)
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
