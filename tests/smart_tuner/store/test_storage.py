"""A store is opened by its URL, or refused with one sentence."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
import sqlalchemy
from servers import PostgresServer, Server, every_store
from sqlalchemy import create_engine, text

import smart_tuner.store.storage
from smart_tuner.errors import StorageError
from smart_tuner.store.storage import open_storage
from trainer.installing import extra_command, install_command


def test_with_sqlite_readers_and_a_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "s.db"
    storage = open_storage(f"sqlite:///{file}")
    with closing(sqlite3.connect(file, timeout=0)) as reader, closing(sqlite3.connect(file, timeout=0)) as writer:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM studies").fetchone()
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO studies (study_name) VALUES ('written meanwhile')")
        assert reader.execute("SELECT count(*) FROM studies").fetchone() == (0,)
        writer.commit()
    assert optuna.get_all_study_names(storage) == ["written meanwhile"]


def test_a_file_that_another_process_is_making_is_opened_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    refusals = [busy, busy]

    class Refused(sqlite3.Connection):
        """Refuses at once, as SQLite does with one of two connections that set the write-ahead log."""

        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            if "journal_mode" in statement and refusals:
                raise refusals.pop()
            return super().execute(statement, *parameters)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Refused))
    assert optuna.get_all_study_names(open_storage(f"sqlite:///{tmp_path}/s.db")) == []
    assert not refusals


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in-memory database would be lost"),
        ("sqlite:///:memory:", "in-memory database would be lost"),
        ("sqlite:////proc/nothing/s.db", "cannot be opened"),
        ("no url at all, with hunter2", "Could not parse SQLAlchemy URL"),
        ("cassandra://me:hunter2@127.0.0.1/db", "cassandra"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:9/db", "(OperationalError: connection"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:port/db", "cannot be opened"),
        ("postgresql+psycopg://127.0.0.1:9/db?user=me&password=hunter2", "refused"),
    ],
)
def test_an_unusable_url_is_one_error_without_the_password(url: str, words: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    message = str(caught.value)
    assert words in message
    fix = "with --workspace" if url.startswith("sqlite") else "Check the URL, and that the server answers;"
    assert fix in message
    assert "hunter2" not in message.replace("with hunter2", "")
    assert "\n" not in message


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are my notes, and no database at all.\n" * 20)
    with pytest.raises(StorageError, match=r"notes\.txt': is not a SQLite database\. Give the workspace"):
        open_storage(f"sqlite:///{file}")
    assert file.read_text().startswith("These are my notes")


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}/file/s.db")


def test_braces_in_a_path_are_no_template(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/{{me}} 100%.db")
    assert (tmp_path / "{me} 100%.db").is_file()
    assert optuna.get_all_study_names(storage) == []


@pytest.mark.parametrize(
    ("url", "module", "fix"),
    [
        ("postgresql+psycopg", "psycopg", extra_command("postgresql")),
        ("mysql+pymysql", "pymysql", extra_command("mysql")),
        (
            "mysql+mysqldb",
            "MySQLdb",
            f"begin the URL with mysql+pymysql://, and install its driver: {extra_command('mysql')}",
        ),
        ("mssql+pyodbc", "pyodbc", f"install the package that has it, such as by {install_command('pyodbc')}"),
    ],
)
def test_a_driver_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, fix: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StorageError) as caught:
        open_storage(f"{url}://me:hunter2@127.0.0.1:9/db")
    assert str(caught.value) == f"storage '{url}://me:***@127.0.0.1:9/db': the driver `{module}` is missing: {fix}"


def test_importing_the_module_needs_no_driver() -> None:
    assert not [name for name, value in vars(smart_tuner.store.storage).items() if _is_driver(value)]


def _is_driver(value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__ in ("psycopg", "psycopg2", "MySQLdb", "pymysql")


def test_a_server_that_is_away_at_the_start_is_an_error_at_once(
    server_of_its_own: Callable[..., AbstractContextManager[Server]],
) -> None:
    with server_of_its_own(PostgresServer) as server:
        server.start()
        server.kill()
        began = time.monotonic()
        with pytest.raises(StorageError, match="Check the URL, and that the server answers"):
            open_storage(server.url())
        assert time.monotonic() - began < 30  # opening is not retried for ten minutes


@every_store
def test_opening_without_create_makes_no_tables(storage_url: str) -> None:
    if storage_url.startswith("sqlite"):  # the file is empty for a moment while another process makes the store
        Path(sqlalchemy.make_url(storage_url).database or "").touch()
    with pytest.raises(StorageError, match="no study was ever run with it"):
        open_storage(storage_url, create=False)
    engine = create_engine(storage_url)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()


OPEN = (
    "import sys; from smart_tuner.store.storage import open_storage as o; print(o(sys.argv[1]).get_current_version())"
)


# Processes take seconds to start; threads that do the same are in tests/contract/test_stores.py.
def test_processes_that_open_an_empty_store_together_make_it_once(storage_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", OPEN, storage_url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, outputs
    storage = open_storage(storage_url)
    assert {out.decode().strip() for out, _ in outputs} == {storage.get_head_version()}
    assert optuna.get_all_study_names(storage) == []
    with storage.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
