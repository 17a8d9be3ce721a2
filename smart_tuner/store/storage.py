"""Opens the SQL store of studies: Optuna's own schema, with settings that suit many processes at once.

How operations are retried: `retrying`; a store that another Optuna made: `schema`; the files of SQLite: `sqlite`.
"""

import importlib
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from sqlalchemy import NullPool
from sqlalchemy.engine import URL, make_url

from smart_tuner.errors import NoStudies, StorageError
from smart_tuner.masking import masked, masked_answer
from smart_tuner.store import sqlite
from smart_tuner.store.retrying import RETRY_SECONDS, RetryingStorage
from smart_tuner.store.schema import Upgrade, refuse_other_schema, upgrade_schema
from smart_tuner.store.transient import unwrapped
from trainer.installing import extra_command, install_command

HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 60  # a worker on another machine without a heartbeat for so long is dead
BUSY_ATTEMPT_SECONDS = 10.0  # for which one attempt of an operation waits for another process's write to a SQLite file
CONNECT_SECONDS = 5
SILENT_SECONDS = 60  # a server that is silent for so long on an open connection is away
IDLE_SECONDS = 15  # a worker that is silent for so long within a transaction loses it, with the rows that it holds
OPEN_ATTEMPTS = 30

_LIBPQ = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": SILENT_SECONDS // 2,
    "keepalives_interval": SILENT_SECONDS // 6,
    "keepalives_count": 3,
    "tcp_user_timeout": 1000 * SILENT_SECONDS,
}
_MYSQL = {"connect_timeout": CONNECT_SECONDS, "read_timeout": SILENT_SECONDS, "write_timeout": SILENT_SECONDS}
_CONNECT_ARGUMENTS: dict[str, dict[str, Any]] = {
    "pysqlite": {"timeout": BUSY_ATTEMPT_SECONDS},
    "psycopg": _LIBPQ,
    "psycopg2": _LIBPQ,
    "pymysql": _MYSQL,
    "mysqldb": _MYSQL,
}
# Sent on each new connection. Without the time zone, heartbeats are in the server's local time, which jumps twice a
# year. Without the timeout, a worker that freezes within a transaction blocks its rows for others; MySQL has no such
# timeout, and reads that part as a comment. Without the pragma, SQLite waits for the disk at each commit; with it and
# the write-ahead log, a power cut may lose the last steps, which are then repeated, but does not damage the file.
_MYSQL_SETTINGS = "SET time_zone = '+00:00' /*M!100300 , idle_transaction_timeout = {idle} */"
_ON_CONNECT = {
    "postgresql": "SELECT set_config('timezone', 'UTC', false), "
    "set_config('idle_in_transaction_session_timeout', '{idle}s', false)",
    "mysql": _MYSQL_SETTINGS,
    "mariadb": _MYSQL_SETTINGS,
    "sqlite": "PRAGMA synchronous = NORMAL",
}


def open_storage(url: str, create: bool = True, retry_seconds: float = RETRY_SECONDS) -> RetryingStorage:
    """Open a store to write to it.

    create: whether a missing file and missing tables are made.
    retry_seconds: for a store that goes away later.

    Raises NoStudies where nothing is there and `create` is false; StorageError, with the password masked, where the
    URL, the file or the server is faulty.
    """
    with _one_error(url):
        parsed = make_url(url)
        arguments = _engine_arguments(parsed)
        if parsed.get_backend_name() == "sqlite":
            path = sqlite.path_of(parsed)
            if path.exists() or not create:
                _refuse_unwritable(url, path)
            sqlite.begin_writing(path)
        return _open(url, arguments, create, retry_seconds)


def open_to_read(url: str, retry_seconds: float = RETRY_SECONDS) -> RetryingStorage:
    """Open a store to read it, which needs no write access and makes nothing. Raises as `open_storage`."""
    with _one_error(url):
        parsed = make_url(url)
        arguments = _engine_arguments(parsed)
        if parsed.get_backend_name() == "sqlite":
            path = sqlite.path_of(parsed)
            if not path.exists():
                raise _nothing_in(url)
            if not sqlite.may_write(path):
                arguments |= {"creator": sqlite.reader(path), "poolclass": NullPool}
        return _open(url, arguments, False, retry_seconds)


def may_write(url: str) -> bool:
    """Whether this process may change the store, as far as that can be known without trying."""
    parsed = make_url(url)
    return parsed.get_backend_name() != "sqlite" or sqlite.may_write(sqlite.path_of(parsed))


def upgrade_storage(url: str) -> Upgrade:
    """Bring a store that an older Optuna made to the tables of this one. Nothing else may use it meanwhile.

    Raises StorageError, with the password masked.
    """
    with _one_error(url):
        parsed = make_url(url)
        arguments = _engine_arguments(parsed)
        if parsed.get_backend_name() == "sqlite":
            path = sqlite.path_of(parsed)
            _refuse_unwritable(url, path)
            sqlite.begin_writing(path)
        return upgrade_schema(url, arguments)


@contextmanager
def _one_error(url: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except (
        sqlalchemy.exc.SQLAlchemyError,
        StorageInternalError,
        sqlite3.Error,
        ImportError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        raise StorageError(f"storage {masked(url)!r}: {_reason(unwrapped(error), url)}") from error


def _reason(cause: BaseException, url: str) -> str:
    """What is wrong with the store, and how to fix it."""
    if isinstance(cause, ImportError):
        return _missing_driver(cause, make_url(url))
    own = cause.orig if isinstance(cause, sqlalchemy.exc.DBAPIError) and cause.orig else cause  # the driver's error
    if getattr(own, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return f"is not a SQLite database. {_SQLITE_FIX}"
    first_line = next(iter(str(own).strip().splitlines()), "")
    fix = _SQLITE_FIX if url.startswith("sqlite") else _SERVER_FIX
    return f"cannot be opened ({type(own).__name__}: {masked_answer(first_line, url)}). {fix}"


def _missing_driver(error: ImportError, url: URL) -> str:
    backend = url.get_backend_name()
    what = f"the driver `{error.name}` is missing"
    if backend not in _DRIVERS:
        return f"{what}: install the package that has it, such as by {install_command(str(error.name))}"
    extra, driver = _DRIVERS[backend]
    other = "" if error.name == driver else f"begin the URL with {backend}+{driver}://, and install its driver: "
    return f"{what}: {other}{extra_command(extra)}"


# By the backend of the URL: our extra, and the driver that it installs.
_DRIVERS = {"postgresql": ("postgresql", "psycopg"), "mysql": ("mysql", "pymysql"), "mariadb": ("mysql", "pymysql")}
_SERVER_FIX = (
    "Check the URL, and that the server answers; without --storage a SQLite file inside the workspace is used."
)
_SQLITE_FIX = "Give the workspace that holds its studies.db with --workspace, or the file itself with --storage."


def _open(url: str, arguments: dict[str, Any], create: bool, retry_seconds: float) -> RetryingStorage:
    has_tables = refuse_other_schema(url, arguments)
    if not create and not has_tables:
        raise _nothing_in(url)
    return _open_beside_others(url, arguments, retry_seconds)


def _open_beside_others(url: str, engine_arguments: dict[str, Any], retry_seconds: float) -> RetryingStorage:
    """Workers that start together on an empty store all make its tables; those that lose the race retry."""
    for attempt in range(1, OPEN_ATTEMPTS + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeat_interval
                return RetryingStorage(
                    url,
                    retry_seconds=retry_seconds,
                    engine_kwargs=engine_arguments,
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=GRACE_SECONDS,
                )
        except (sqlalchemy.exc.DatabaseError, StorageInternalError) as error:
            if not _collided(unwrapped(error)) or attempt == OPEN_ATTEMPTS:
                raise
            time.sleep(0.1)
    raise AssertionError("unreachable")


def _collided(error: BaseException) -> bool:
    if isinstance(error, sqlalchemy.exc.IntegrityError):
        return True
    made_meanwhile = any(text in str(error) for text in ("already exists", "Duplicate key name"))
    return made_meanwhile or "deadlock" in str(error).lower()


def _refuse_unwritable(url: str, path: Path) -> None:
    if not path.exists():
        raise _nothing_in(url)
    if not sqlite.may_write(path):
        raise StorageError(
            f"storage {masked(url)!r}: cannot be written to, which this command needs; `status`, `best`, `report` and "
            "`listen` only read."
        )


def no_study_in(url: str) -> NoStudies:
    """The error for a store that has its tables, but no study."""
    return NoStudies(f"storage {masked(url)!r}: holds no study yet; `smart-tuner optimize` starts one.")


def _nothing_in(url: str) -> NoStudies:
    return NoStudies(f"storage {masked(url)!r}: no study was ever run with it; `smart-tuner optimize` starts one.")


def _engine_arguments(url: URL) -> dict[str, Any]:
    dialect = url.get_dialect()
    if url.get_backend_name() != "sqlite":
        importlib.import_module(dialect.import_dbapi().__name__)
    known = _CONNECT_ARGUMENTS.get(dialect.driver, {})
    arguments: dict[str, Any] = {"connect_args": {key: v for key, v in known.items() if key not in url.query}}
    return {
        **arguments,
        "pool_pre_ping": url.get_backend_name() != "sqlite",
        "pool_events": [(_OnConnect(_ON_CONNECT[url.get_backend_name()].format(idle=IDLE_SECONDS)), "connect")],
    }


@dataclass(frozen=True)
class _OnConnect:
    """Sends a statement on each new connection. A class, since a storage with a closure could not be pickled."""

    statement: str

    def __call__(self, connection: Any, _: object) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(self.statement)
        connection.commit()
