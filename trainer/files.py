"""Files that several processes use: replaced as a whole (`write_atomically`), locked by one at a time (`lock`).

Standard library only; the trainer and the tuner use it. Folders are in `trainer.data.atomic_folders`.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOCK_LOOK_SECONDS = 0.1  # between two tries to take a lock

# The errors of a file system without hard links.
NO_LINKS = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}


@contextmanager
def write_atomically(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """Yield a path to write beside `path`; rename it to `path` when the block succeeds.

    The folder is made where it is missing. A reader sees the old file or the new one, whole, even after a power cut.
    keep: a path in the same folder where the old file is kept; at each moment a whole file has one of the two names.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    beside.unlink(missing_ok=True)  # of a killed process with this number; may be a hard link to a file that is in use
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            _keep(path, keep)
        os.replace(beside, path)  # noqa: PTH105 (os.replace is atomic on one file system)
    finally:
        beside.unlink(missing_ok=True)


def nearest_above(path: Path) -> Path:
    """The nearest of the folders above `path` that exists; a file where one has the name of such a folder."""
    return next(above for above in path.parents if above.exists())


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")


def _keep(path: Path, name: Path) -> None:
    """Link the file as `name` as well, and replace what is there. Without hard links, rename the file."""
    link = _beside(name)
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)
        os.replace(link, name)  # noqa: PTH105
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.replace(path, name)  # noqa: PTH105
    finally:
        link.unlink(missing_ok=True)  # os.replace does nothing where both are names of one file


@contextmanager
def lock(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of file `path` while the block runs, against all other processes and threads.

    The file is created where it does not exist, and stays. The kernel frees the lock of a process that was killed.
    waiting: called before each pause while the lock is taken; an exception from it ends the wait.
    """
    with path.open("a") as file:
        while not try_lock(file):
            waiting()
            time.sleep(LOCK_LOOK_SECONDS)
        os.utime(file.fileno())  # marks the lock as in use; by descriptor, since the file's name may be removed
        yield


def try_lock(file: int | IO[str]) -> bool:
    """Take the lock of this open file until it is closed; False where another process or thread has it."""
    import fcntl  # not on Windows, where `trainer.system` says so

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
