"""The file of a SQLite store: its path, and how it is opened to write to it or only to read it.

Reading changes nothing: it makes no folder, no file, no journal. It needs no write access to the file or its folder;
the disk may be read-only.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL

_BUSY_SECONDS = 60.0  # how long opening waits for another process's write; SQLite's own default is 5
_PAUSE_SECONDS = 0.05
_ATTEMPT_SECONDS = 10.0  # how long one attempt of an operation waits, before it is retried
_NEEDS_WRITING = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def path_of(url: URL) -> Path:
    """Raises ValueError where the URL names no file, OSError where its folder is a file or cannot be entered."""
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
    """Set the write-ahead log: readers (dashboards) and writers do not block each other. The file keeps the setting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _BUSY_SECONDS
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                # Of several connections that set it at once, SQLite refuses some without waiting: they would deadlock.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)


def may_write(path: Path) -> bool:
    """Whether this process may change the file, for which SQLite also makes files beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def reader(path: Path) -> Callable[[], sqlite3.Connection]:
    """A function that connects to a file which cannot be written to. Each call checks whether another process writes.

    Raises OSError where the file cannot be read.
    """
    path.open("rb").close()  # the system's error is clearer than SQLite's
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
    """Connect to a file that no process has open. SQLite would make a new write-ahead log, which it cannot here."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise sqlite3.OperationalError(
            f"its last steps are in {log.name}, which only a process with write access can read; copy both files to a "
            "folder of your own and give that one"
        )
    return _connect(path, "mode=ro&immutable=1")


def _connect(path: Path, how: str) -> sqlite3.Connection:
    """With the options that SQLAlchemy uses."""
    uri = f"file:{quote(str(path))}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=_ATTEMPT_SECONDS, check_same_thread=False)
