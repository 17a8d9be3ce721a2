"""A SQLite store that may only be read: on a read-only disk, with and without another process that writes to it."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from smart_tuner.errors import StorageError
from smart_tuner.store.storage import may_write, open_storage, open_to_read

_MEGABYTES = 2**23
# Writes one study and exits at once, so that SQLite's write-ahead log stays.
_KILLED = (
    "import os, sys, optuna; from smart_tuner.store.storage import open_storage\n"
    "optuna.create_study(storage=open_storage(sys.argv[1]), study_name='mine'); os._exit(9)"
)


@pytest.fixture
def make_read_only(disk: Callable[[int], Path]) -> Callable[[], str]:
    """Makes a small disk read-only, and returns the URL of the store on it."""
    folder = disk(_MEGABYTES)

    def remount() -> str:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        return f"sqlite:///{folder}/studies.db"

    return remount


@pytest.fixture
def url(tmp_path: Path, make_read_only: Callable[[], str]) -> str:
    """The URL of the store on that disk, which can be written to so far."""
    return f"sqlite:///{tmp_path}/disk 0/studies.db"


def test_a_store_that_nobody_has_open_is_read(url: str, make_read_only: Callable[[], str]) -> None:
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="mine")
    storage.remove_session()
    storage.engine.dispose()
    assert not may_write(make_read_only())
    reading = open_to_read(url)
    assert optuna.get_all_study_names(reading) == ["mine"]
    with pytest.raises(StorageError, match="cannot be written to, which this command needs"):
        open_storage(url, create=False)


def test_the_last_steps_of_a_killed_worker_are_read(
    url: str, make_read_only: Callable[[], str], tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, url], check=False)
    make_read_only()
    assert optuna.get_all_study_names(open_to_read(url)) == ["mine"]


def test_last_steps_that_cannot_be_read_without_writing_are_an_error(
    url: str, make_read_only: Callable[[], str], tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, url], check=False)
    (tmp_path / "disk 0" / "studies.db-shm").unlink()
    make_read_only()
    with pytest.raises(StorageError, match=r"its last steps are in studies\.db-wal"):
        open_to_read(url)


def test_a_reader_sees_what_is_written_meanwhile_also_after_the_writer_has_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    writing = open_storage(url)
    optuna.create_study(storage=writing, study_name="first")
    monkeypatch.setattr("smart_tuner.store.sqlite.may_write", lambda path: False)
    reading = open_to_read(url)
    assert optuna.get_all_study_names(reading) == ["first"]
    optuna.create_study(storage=writing, study_name="second")
    assert optuna.get_all_study_names(reading) == ["first", "second"]
    copy = pickle.loads(pickle.dumps(reading))
    assert optuna.get_all_study_names(copy) == ["first", "second"]
    writing.remove_session()
    writing.engine.dispose()
    assert optuna.get_all_study_names(reading) == ["first", "second"]


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "an empty file"])
def test_reading_makes_nothing(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "workspace"
    if there != "nothing":
        folder.mkdir()
    if there == "an empty file":
        (folder / "studies.db").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="no study was ever run with it"):
        open_to_read(f"sqlite:///{folder}/studies.db")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "workspace").touch()
    with pytest.raises(StorageError, match=r"is a file, not a folder.*workspace"):
        open_to_read(f"sqlite:///{tmp_path}/workspace/studies.db")
