import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from smart_tuner.errors import StorageError
from smart_tuner.storage import open_storage


def test_what_is_written_is_there_when_it_is_opened_again(storage_url: str) -> None:
    study = optuna.create_study(storage=open_storage(storage_url), study_name="проба")
    study.add_trial(optuna.trial.create_trial(value=1.5))
    again = optuna.load_study(study_name="проба", storage=open_storage(storage_url))
    assert [trial.value for trial in again.trials] == [1.5]


def test_sqlite_keeps_a_write_ahead_log_so_that_readers_and_a_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in-memory database would be lost"),
        ("sqlite:///:memory:", "in-memory database would be lost"),
        ("sqlite:////proc/nothing/s.db", "cannot be opened"),
        ("no url at all, with hunter2", "Could not parse SQLAlchemy URL"),
        ("cassandra://me:hunter2@127.0.0.1/db", "cassandra"),
        ("mysql+mysqldb://me:hunter2@127.0.0.1/db", "No module named 'MySQLdb'"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:9/db", "refused"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:port/db", "cannot be opened"),
        ("postgresql+psycopg://127.0.0.1:9/db?user=me&password=hunter2", "refused"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_error_without_the_password(url: str, words: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    message = str(caught.value)
    assert words in message
    assert "Check the URL, that the server answers, and that the database's driver is installed" in message
    assert "hunter2" not in message.replace("with hunter2", "")
    assert "\n" not in message


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are my notes, and no database at all.\n" * 20)
    with pytest.raises(StorageError, match=r"notes\.txt.*not a database"):
        open_storage(f"sqlite:///{file}")
    assert file.read_text().startswith("These are my notes")


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}/file/s.db")


def test_a_driver_that_repeats_the_url_in_its_error_gives_no_password_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, **_: object) -> None:
        raise OperationalError(None, None, ConnectionError(f"cannot connect to {url}"))

    monkeypatch.setattr(optuna.storages, "RDBStorage", refuse)
    with pytest.raises(StorageError, match=r"cannot connect to postgresql\+psycopg://me:\*\*\*@host/db") as caught:
        open_storage("postgresql+psycopg://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="psycopg") as caught:
        open_storage("postgresql+psycopg://me:hunter2@127.0.0.1:9/db")
    assert "hunter2" not in str(caught.value)


def test_importing_the_module_needs_no_driver() -> None:
    import smart_tuner.storage

    assert not [name for name, value in vars(smart_tuner.storage).items() if _is_driver(value)]


def _is_driver(value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__ in ("psycopg", "psycopg2", "MySQLdb")
