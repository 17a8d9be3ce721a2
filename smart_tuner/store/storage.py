"""The SQL store of studies: Optuna's own schema, opened with settings that bear many processes at once.

How it is asked again while it is away: `patience`; what becomes of one that another Optuna made: `schema`.
"""

import importlib
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, make_url

from smart_tuner.errors import StorageError
from smart_tuner.masking import masked, masked_answer
from smart_tuner.store.retrying import RETRY_SECONDS, RetryingStorage
from smart_tuner.store.schema import Upgrade, refuse_other_schema, upgrade_schema
from smart_tuner.store.transient import unwrapped

HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 60  # a worker on another machine that is silent for so long is gone
BUSY_SECONDS = 60.0  # how long the opening waits for another's write; SQLite's own default is 5
BUSY_ATTEMPT_SECONDS = 10.0  # and one attempt of an operation, which is then made again
CONNECT_SECONDS = 5
SILENT_SECONDS = 60  # a server that is silent for so long on an open connection is away
IDLE_SECONDS = 15  # and a worker that is silent for so long within a transaction loses it, and the rows that it holds
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
# Said on each new connection. Signs of life are in a server's local time otherwise, which jumps twice a year. A worker
# that froze within a transaction would keep others from its trials until it is thawed; MySQL, for which the comment is
# one, has no means against that. SQLite else waits for the disk at each commit; with its write-ahead log a power cut
# may now cost the last steps, which are then made again, and never the file.
_MYSQL_SETTINGS = "SET time_zone = '+00:00' /*M!100300 , idle_transaction_timeout = {idle} */"
_ON_CONNECT = {
    "postgresql": "SELECT set_config('timezone', 'UTC', false), "
    "set_config('idle_in_transaction_session_timeout', '{idle}s', false)",
    "mysql": _MYSQL_SETTINGS,
    "mariadb": _MYSQL_SETTINGS,
    "sqlite": "PRAGMA synchronous = NORMAL",
}


def open_storage(url: str, create: bool = True, retry_seconds: float = RETRY_SECONDS) -> RetryingStorage:
    """create: whether a file and tables that are not there are made.

    retry_seconds: for a store that goes away later.

    Raises StorageError, with the password masked, where the URL or the server behind it is at fault."""
    with _one_error(url):
        parsed = make_url(url)
        arguments = _engine_arguments(parsed)
        if parsed.get_backend_name() == "sqlite":
            _prepare_sqlite(parsed, create)
        has_tables = refuse_other_schema(url, arguments["connect_args"])
        if not create and not has_tables:
            raise _nothing_in(url)
        return _open_beside_others(url, arguments, retry_seconds)


def upgrade_storage(url: str) -> Upgrade:
    """Bring a store that an older Optuna made to the tables of this one. Nothing else may use it meanwhile.

    Raises StorageError, with the password masked."""
    with _one_error(url):
        parsed = make_url(url)
        arguments = _engine_arguments(parsed)
        if parsed.get_backend_name() == "sqlite":
            _prepare_sqlite(parsed, create=False)
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
        cause = unwrapped(error)
        first_line = next(iter(str(cause).strip().splitlines()), "")
        raise StorageError(
            f"storage {masked(url)!r}: cannot be opened ({type(cause).__name__}: {masked_answer(first_line, url)}). "
            "Check the URL, that the server answers, and that the database's driver is installed; "
            "without --storage a SQLite file inside the workspace is used."
        ) from error


def _open_beside_others(url: str, engine_arguments: dict[str, Any], retry_seconds: float) -> RetryingStorage:
    """Workers that start together on an empty store all make its tables; who is second finds them, and retries."""
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
    made_meanwhile = any(words in str(error) for words in ("already exists", "Duplicate key name"))
    return made_meanwhile or "deadlock" in str(error).lower()


def _prepare_sqlite(url: URL, create: bool) -> None:
    """Write-ahead log: readers (dashboards) and writers do not lock each other out. The file remembers it."""
    if url.host:
        raise ValueError("SQLite has no hosts; an absolute path has four slashes: sqlite:////path/studies.db")
    if not url.database or url.database == ":memory:":
        raise ValueError("an in-memory database would be lost with the process; give a file")
    path = Path(url.database)
    if not create and not path.exists():
        raise _nothing_in(str(url))
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _nothing_in(url: str) -> StorageError:
    return StorageError(f"storage {masked(url)!r}: no study was ever run with it; `smart-tuner optimize` begins one.")


def _engine_arguments(url: URL) -> dict[str, Any]:
    dialect = url.get_dialect()
    if url.get_backend_name() != "sqlite":
        importlib.import_module(dialect.import_dbapi().__name__)
    known = _CONNECT_ARGUMENTS.get(dialect.driver, {})
    arguments: dict[str, Any] = {"connect_args": {key: v for key, v in known.items() if key not in url.query}}
    return {
        **arguments,
        "pool_pre_ping": url.get_backend_name() != "sqlite",
        "pool_events": [(_say(_ON_CONNECT[url.get_backend_name()].format(idle=IDLE_SECONDS)), "connect")],
    }


def _say(statement: str) -> Any:
    def say(connection: Any, _: object) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement)
        connection.commit()

    return say
