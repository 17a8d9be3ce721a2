"""The recordings of a list: their real paths under the corpus's folder, and stamps that change with the files.

One `stat` per recording: a list of 131,000 is checked at every start of a trainer. Only where nothing is there, the
folder is read, and a file with another extension or the same name in other code points is taken. Does not open the
files.
"""

import os
import stat
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trainer.data.faults import FaultKind, setting

# Where one name has several, the first one is taken.
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a", ".oga", ".aiff", ".aif", ".au", ".w64", ".caf")
FOLDERS = 1024  # the number of folders whose real paths are cached
LONGEST_SHOWN = 200  # characters of a path
LISTED_FOLDERS = 8  # the number of folders whose names are cached


class UnusableRecording(Exception):
    """A recording is missing, or outside of the corpus; becomes a `Fault` with the line that names it."""

    def __init__(self, kind: FaultKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Recordings:
    """The recordings under one folder. `root` is its real path.

    follow_links: recordings may be outside, behind links and by their paths.
    """

    def __init__(self, folder: Path, follow_links: bool = False) -> None:
        self.root = os.path.realpath(folder)
        self._prefix = self.root.rstrip(os.sep) + os.sep
        self._follow_links = follow_links
        self._real_folder = lru_cache(FOLDERS)(os.path.realpath)
        self._files_in = lru_cache(LISTED_FOLDERS)(_files_in)

    def find(self, name: str) -> tuple[str, str]:
        """Return the recording's path relative to `root`, and its stamp: size in bytes and time in ns.

        The path is the real one; for a link to the outside, that of the link. Raises UnusableRecording where the
        recording is missing, or outside of `root` without leave.
        """
        try:
            path, status = self._stat(name)
            if status is None and (other := self._in_another_form(name)) is not None:
                name = other
                path, status = self._stat(name)
        except (OSError, ValueError) as error:  # the name is too long, or has a zero byte
            raise UnusableRecording(
                FaultKind.FILE_NAME, f"{short(name)} cannot be a file name ({_reason(error)})."
            ) from error
        found = path[len(self._prefix) :] if path.startswith(self._prefix) else self._outside(name, path)
        if status is None or not stat.S_ISREG(status.st_mode):
            raise UnusableRecording(FaultKind.MISSING, self._missing(name))
        return found, f"{status.st_size} {status.st_mtime_ns}"

    def exists(self, name: str) -> bool:
        """Whether there is such a recording, inside or outside."""
        try:
            return self._stat(name)[1] is not None or self._in_another_form(name) is not None
        except (OSError, ValueError):
            return False

    def is_there(self, name: str) -> bool:
        """As `exists`, for exactly this name."""
        try:
            return self._stat(name)[1] is not None
        except (OSError, ValueError):
            return False

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

    def _in_another_form(self, name: str) -> str | None:
        """The same recording with another extension, or in other code points of Unicode; None where there is none."""
        folder, last = os.path.split(name)
        if not last:
            return None
        there = self._files_in(os.path.join(self.root, folder))  # noqa: PTH118
        found = there.names.get(_composed(last)) or there.recordings.get(_composed(stem(last)))
        return os.path.join(folder, found) if found else None  # noqa: PTH118

    def _outside(self, name: str, real: str) -> str:
        """The path of a recording outside of `root`, as the list names it; raises UnusableRecording without leave."""
        written = os.path.normpath(os.path.join(self.root, name))  # noqa: PTH118
        inside = written.startswith(self._prefix)
        if self._follow_links:
            return written[len(self._prefix) :] if inside else real
        if inside:
            raise UnusableRecording(
                FaultKind.LINK,
                f"{short(name)} is a link to {real}, outside of the corpus's folder; "
                f"{setting('follow_links', 'true')} allows it.",
            )
        raise UnusableRecording(
            FaultKind.OUTSIDE,
            f"{short(name)} is outside of the corpus's folder {self.root}; give a folder that holds the list and the "
            "recordings, move the recording, or allow this "
            f"with {setting('follow_links', 'true')}.",
        )

    def _missing(self, name: str) -> str:
        folder = Path(self.root, name).parent
        there = len(self._files_in(str(folder)).recordings)
        beside = f" ({folder.name}/ holds {there:,} other recordings)" if there else ""
        path = str(Path(self.root, name))
        shown = path if len(path) <= LONGEST_SHOWN else f"...{path[-LONGEST_SHOWN:]}"
        return f"the recording {shown} does not exist{beside}; add it, or remove the line."


@dataclass(frozen=True)
class _Files:
    """The files of a folder by composed name; the recordings also by composed name without extension."""

    names: dict[str, str]
    recordings: dict[str, str]


def _files_in(folder: str) -> _Files:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.is_dir())
    except (OSError, ValueError):
        return _Files({}, {})
    recordings = dict[str, str]()
    for suffix in AUDIO_SUFFIXES:
        for name in names:
            if name.lower().endswith(suffix):
                recordings.setdefault(_composed(stem(name)), name)
    return _Files({_composed(name): name for name in names}, recordings)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def has_audio_suffix(name: str) -> bool:
    return "." in name and name.lower().endswith(AUDIO_SUFFIXES)


def stem(name: str) -> str:
    """Without the extension of a recording; other dots are part of a name."""
    return os.path.splitext(name)[0] if has_audio_suffix(name) else name  # noqa: PTH122


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
