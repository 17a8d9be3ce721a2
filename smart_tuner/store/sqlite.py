"""The file of a SQLite store: found, or refused in words; opened for writing, or by somebody who may only read it.

A reader changes nothing: no folder is made, no file, no journal. It needs no write access, neither to the file nor to
its folder, and the disk may be read-only.
"""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL

_BUSY_SECONDS = 60.0  # how long the opening waits for another's write; SQLite's own default is 5
_ATTEMPT_SECONDS = 10.0  # and one attempt of an operation, which is then made again
_NEEDS_WRITING = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def path_of(url: URL) -> Path:
    """Raises ValueError where the URL names no file, and OSError where its folder is none or cannot be entered."""
    if url.host:
        raise ValueError("SQLite has no hosts; an absolute path has four slashes: sqlite:////path/studies.db")
    if not url.database or url.database == ":memory:":
        raise ValueError("an in-memory database would be lost with the process; give a file")
    path = Path(url.database).resolve()  # SQLite keeps its log beside the file that a link names
    folder = next(folder for folder in path.parents if folder.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(folder))
    return path


def begin_writing(path: Path) -> None:
    """Write-ahead log: readers (dashboards) and writers do not lock each other out. The file remembers it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def may_write(path: Path) -> bool:
    """Whether this process may change the file, which also takes files beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def reader(path: Path) -> Callable[[], sqlite3.Connection]:
    """Opens connections to a file that cannot be written to. Each looks anew whether somebody else is writing.

    Raises OSError where the file cannot be read.
    """
    path.open("rb").close()  # the system's own reason is better than SQLite's
    return partial(_connect_to_read, path)  # no closure, so that a storage can be pickled


def _connect_to_read(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in _NEEDS_WRITING:
            raise
        return _connect_at_rest(path)
    return connection


def _connect_at_rest(path: Path) -> sqlite3.Connection:
    """To a file with a write-ahead log that nobody has open: SQLite would make a new log, which it cannot here."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise sqlite3.OperationalError(
            f"its last steps are in {log.name}, which only a process that may write can read; copy both files to a "
            "folder of your own and name that one"
        )
    return _connect(path, "mode=ro&immutable=1")


def _connect(path: Path, how: str) -> sqlite3.Connection:
    """As SQLAlchemy opens one."""
    uri = f"file:{quote(str(path))}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=_ATTEMPT_SECONDS, check_same_thread=False)
