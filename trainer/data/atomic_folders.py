"""Folders that are written once and then only read: complete, or not there.

Readers need no lock. Of two processes that build the same folder, both build all of it, and the first to finish wins;
where that costs too much, `trainer.files.lock` lets one of them build while the others wait.
"""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED_AFTER = 24 * 3600.0  # seconds; an unfinished folder that is older belongs to a killed process


@contextmanager
def write_folder_atomically(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`, and rename it to `target` when the block succeeds.

    Where another process finished first, its folder stays and this one is removed: their contents are the same. A block
    that raises leaves nothing behind.
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


@contextmanager
def replace_folder_atomically(target: Path) -> Iterator[Path]:
    """As `write_folder_atomically`, but a folder that is there is replaced. Raises OSError where it cannot be."""
    target = target.resolve()  # a link stays a link, and "." has a name
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent, f".{target.name}.*.tmp", ABANDONED_AFTER)
    name = f".{target.name}.{uuid.uuid4().hex}"
    beside = target.with_name(f"{name}.tmp")
    earlier = target.with_name(f"{name}.earlier.tmp")
    beside.mkdir()
    try:
        yield beside
        flush(beside)
        if target.exists():
            target.rename(earlier)
        beside.rename(target)
    finally:
        if earlier.exists() and not target.exists():  # interrupted between the two
            earlier.rename(target)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(earlier, ignore_errors=True)


def remove_abandoned(folder: Path, pattern: str, after: float) -> None:
    """Remove what matches `pattern` in `folder` and was not written to for `after` seconds."""
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):  # another process removed it
            if time.time() - max(inner.stat().st_mtime for inner in (path, *path.glob("*"))) < after:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def flush(folder: Path) -> None:
    """Write all files under `folder` to the disk."""
    # Otherwise a power cut after the renaming could leave empty files.
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
