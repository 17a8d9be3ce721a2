"""The SQL store of studies: Optuna's own schema, opened with settings that bear many processes at once."""

import importlib
import sqlite3
import time
import warnings
from contextlib import closing
from pathlib import Path

import optuna
import sqlalchemy.exc
from sqlalchemy.engine import URL, make_url

from smart_tuner.errors import StorageError
from smart_tuner.masking import masked

HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 60  # a worker on another machine that is silent for so long is gone
BUSY_SECONDS = 60.0  # how long one process waits for another's write; SQLite's own default is 5
CONNECT_SECONDS = 10
OPEN_ATTEMPTS = 30


def open_storage(url: str, create: bool = True) -> optuna.storages.RDBStorage:
    """create: whether a SQLite file that is not there is made.

    Raises StorageError, with the password masked, where the URL or the server behind it is at fault."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            _prepare_sqlite(parsed, create)
        return _open_beside_others(url, _engine_arguments(parsed))
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, ImportError, OSError, RuntimeError, ValueError) as error:
        first_line = masked(str(error)).strip().splitlines()[0]
        raise StorageError(
            f"storage {masked(url)!r}: cannot be opened ({type(error).__name__}: {first_line}). "
            "Check the URL, that the server answers, and that the database's driver is installed; "
            "without --storage a SQLite file inside the workspace is used."
        ) from error


def _open_beside_others(url: str, engine_arguments: dict[str, object]) -> optuna.storages.RDBStorage:
    """Workers that start together on an empty store all make its tables; who is second finds them, and retries."""
    for attempt in range(1, OPEN_ATTEMPTS + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeat_interval
                return optuna.storages.RDBStorage(
                    url,
                    engine_kwargs=engine_arguments,
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=GRACE_SECONDS,
                )
        except sqlalchemy.exc.DatabaseError as error:
            collided = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
            if not collided or attempt == OPEN_ATTEMPTS:
                raise
            time.sleep(0.1)
    raise AssertionError("unreachable")


def _prepare_sqlite(url: URL, create: bool) -> None:
    """Write-ahead log: readers (dashboards) and writers do not lock each other out. The file remembers it."""
    if not url.database or url.database == ":memory:":
        raise ValueError("an in-memory database would be lost with the process; give a file")
    path = Path(url.database)
    if not create and not path.exists():
        raise FileNotFoundError("no study was ever run with it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _engine_arguments(url: URL) -> dict[str, object]:
    backend = url.get_backend_name()
    if backend == "sqlite":
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    importlib.import_module(url.get_dialect().import_dbapi().__name__)
    return {"connect_args": {"connect_timeout": CONNECT_SECONDS}, "pool_pre_ping": True}
