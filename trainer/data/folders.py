"""Folders that are written once and then only read: whole or not there, whoever else is writing.

Readers need no lock. Two processes that build the same folder both build all of it, and the first to end wins; where
that costs too much, `trainer.files.lock` lets one of them build while the others wait.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Progress = Callable[[int, int, str], None]  # done, total, what is being done

ABANDONED_AFTER = 24 * 3600.0  # seconds; a folder in the making that is older belongs to a process that was killed


def no_progress(done: int, total: int, what: str) -> None:
    """Report to nobody."""


@contextmanager
def written_once(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`, and rename it to `target` when the block ends well.

    Where another process was faster its folder stays, and this one's is removed: they hold the same.
    A block that raises leaves nothing behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent, ".*.tmp", ABANDONED_AFTER)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    beside.mkdir()
    try:
        yield beside
        flush(beside)
        try:
            beside.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_abandoned(folder: Path, pattern: str, after: float) -> None:
    """Clear away what matches in `folder` and was not written to for `after` seconds."""
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):  # somebody else was faster
            if time.time() - max(each.stat().st_mtime for each in (path, *path.glob("*"))) < after:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def flush(folder: Path) -> None:
    """Bring all files under `folder` to the disk."""
    # Else a power cut after the renaming could leave the name with empty files under it.
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
