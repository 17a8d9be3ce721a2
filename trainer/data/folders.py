"""Folders that are written once and then only read: whole or not there, whoever else is writing.

Readers need no lock. Two processes that build the same folder both build all of it, and the first to end wins.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    _remove_abandoned(target)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    beside.mkdir()
    try:
        yield beside
        _flush(beside)
        try:
            beside.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    for beside in target.parent.glob(".*.tmp"):
        if beside.is_dir() and time.time() - beside.stat().st_mtime > ABANDONED_AFTER:
            shutil.rmtree(beside, ignore_errors=True)


def _flush(folder: Path) -> None:
    # Else a power cut after the renaming could leave the name with empty files under it.
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
