"""Files that several processes use: replaced as a whole (`write_atomically`), and held by one at a time (`lock`).

Standard library only, for the trainer and the tuner alike. Folders that are written once are in `data.folders`.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOCK_LOOK_SECONDS = 0.1  # between two looks whether a lock is free

# What a file system says that has no hard links.
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}


@contextmanager
def write_atomically(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """Yield a path to write beside `path`; move it there when the block ends well.

    A reader sees the old file or the new one, never half of either, even after a power cut. keep: the name, in the same
    folder, that the old file then has; at each moment one of the two names is that of a whole file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            _keep(path, keep)
        os.replace(beside, path)  # noqa: PTH105 (the name that says what holds: atomic on one file system)
    finally:
        beside.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")


def _keep(path: Path, name: Path) -> None:
    """Give a file a second name, in place of the file that has it; the only name, where there are no hard links."""
    link = _beside(name)
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)
        os.replace(link, name)  # noqa: PTH105
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.replace(path, name)  # noqa: PTH105
    finally:
        link.unlink(missing_ok=True)  # still there where both were names of one file before


@contextmanager
def lock(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of file `path` while the block runs; nobody else can, in any process or thread.

    The file is created where it does not exist, and stays. The kernel frees the lock of a process that was killed.
    waiting: called before each pause while somebody else holds it; what it raises ends the wait.
    """
    with path.open("a") as file:
        while not try_lock(file):
            waiting()
            time.sleep(LOCK_LOOK_SECONDS)
        os.utime(file.fileno())  # so that it looks used; not by name, which somebody may have removed
        yield


def try_lock(file: int | IO[str]) -> bool:
    """Whether we now hold the lock of this open file, until it is closed; False where somebody else does."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
