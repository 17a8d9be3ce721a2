"""Operations are retried while the store is away; errors that are not transient are raised at once."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from servers import MariaServer, PostgresServer, Server
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError
from waiting import wait_until

import smart_tuner.store.retrying
import smart_tuner.store.storage
from smart_tuner.errors import StorageError
from smart_tuner.store.retrying import RetryingStorage

Locked = tuple[RetryingStorage, sqlite3.Connection]


@pytest.fixture
def noticed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter outages than usual are said, so that those of tests can be short."""
    monkeypatch.setattr(smart_tuner.store.retrying, "QUIET_SECONDS", 0.2)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def locked(
    tmp_path: Path, storages: Callable[..., RetryingStorage]
) -> Iterator[tuple[RetryingStorage, sqlite3.Connection]]:
    """A store, and another process's connection that has locked it."""
    storage = storages(f"sqlite:///{tmp_path}/s.db?timeout=0.05")
    optuna.create_study(storage=storage, study_name="locked")
    with closing(sqlite3.connect(tmp_path / "s.db", check_same_thread=False)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield storage, holder


@pytest.mark.usefixtures("noticed_soon")
def test_a_locked_store_is_retried_with_one_warning(locked: Locked, caplog: pytest.LogCaptureFixture) -> None:
    storage, holder = locked
    threading.Timer(1.2, holder.rollback).start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: storage.set_study_user_attr(1, f"key {n}", n), range(3)))
    assert storage.get_study_user_attrs(1) == {f"key {n}": n for n in range(3)}
    silent, answers = warnings_of(caplog)
    assert "does not answer (OperationalError: database is locked); it is retried, trials go on" in silent
    assert "answers again, after" in answers


def test_a_transaction_is_retried_as_a_whole(locked: Locked) -> None:
    storage, holder = locked
    runs = []

    def work(connection: Connection) -> int:
        runs.append(1)
        if len(runs) == 3:
            holder.rollback()
        connection.execute(text("UPDATE studies SET study_name = 'renamed'"))
        return len(runs)

    assert storage.transaction(work) == len(runs) == 3
    assert storage.get_study_name_from_id(1) == "renamed"


def test_retrying_ends_after_its_time(locked: Locked) -> None:
    storage, _ = locked
    storage.retry_seconds = 0.3
    with pytest.raises(StorageError, match=r"has not answered since \d{4}-.* \(OperationalError: database is locked\)"):
        storage.set_study_user_attr(1, "a", 1)
    assert storage.get_study_user_attrs(1) == {}


def test_after_give_up_nothing_is_retried(locked: Locked) -> None:
    storage, _ = locked
    threading.Timer(0.5, storage.give_up.set).start()
    with pytest.raises(StorageError, match="database is locked"):
        storage.set_study_user_attr(1, "a", 1)
    with pytest.raises(StorageError, match="database is locked"):
        storage.set_study_user_attr(1, "a", 1)
    assert storage.get_study_user_attrs(1) == {}, "an operation that does not fail works"


def test_an_error_that_is_not_transient_is_raised_at_once(
    tmp_path: Path, storages: Callable[..., RetryingStorage]
) -> None:
    storage = storages(f"sqlite:///{tmp_path}/s.db")
    directions = [StudyDirection.MINIMIZE]
    study_id = storage.create_new_study(directions, "a")
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_state_values(trial_id, optuna.trial.TrialState.COMPLETE, [1.0])
    runs = []

    def transaction(statement: str) -> None:
        def work(connection: Connection) -> None:
            runs.append(1)
            connection.execute(text(statement))

        storage.transaction(work)

    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        storage.create_new_study(directions, "a")
    with pytest.raises(KeyError):
        storage.get_study_id_from_name("b")
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_user_attr(trial_id, "a", 1)
    with pytest.raises(IntegrityError):
        transaction("INSERT INTO studies (study_name) VALUES ('a')")
    with pytest.raises(OperationalError, match="no such table"):
        transaction("SELECT * FROM nowhere")
    assert len(runs) == 2


@pytest.mark.usefixtures("noticed_soon")
def test_an_outage_makes_no_trial_stale(
    tmp_path: Path, storages: Callable[..., RetryingStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storages(f"sqlite:///{tmp_path}/s.db")
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "a")
    trial_id = storage.create_new_trial(study_id)
    storage.record_heartbeat(trial_id)
    with storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'"))
    assert storage.stale_trial_ids(study_id) == [trial_id]
    began = time.monotonic()
    away = sqlite3.OperationalError("disk I/O error")
    away.sqlite_errorcode = sqlite3.SQLITE_IOERR

    def work() -> None:
        if time.monotonic() - began < 1.2:  # long enough to be noticed, whatever the jitter
            raise OperationalError(None, None, away)

    storage.retry(work)
    assert storage.stale_trial_ids(study_id) == []
    later = time.monotonic() + smart_tuner.store.storage.GRACE_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert storage.stale_trial_ids(study_id) == [trial_id]


@pytest.mark.parametrize("server", ["postgresql_server", pytest.param("mariadb_server", marks=pytest.mark.slow)])
def test_a_worker_that_freezes_within_a_transaction_loses_it_and_blocks_nobody(
    server: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    storages: Callable[..., RetryingStorage],
) -> None:
    monkeypatch.setattr(smart_tuner.store.storage, "IDLE_SECONDS", 1)
    database, url = f"frozen_{server}", request.getfixturevalue(server).url
    request.getfixturevalue(server).execute(f"CREATE DATABASE {database}")
    frozen, other = storages(url(database)), storages(url(database))
    optuna.create_study(storage=other, study_name="nobody's")
    holds, goes_on, names = threading.Event(), threading.Event(), []

    def freeze(connection: Connection) -> None:
        connection.execute(text("UPDATE studies SET study_name = 'frozen'"))
        holds.set()
        assert goes_on.wait(30), "this transaction blocks the other worker"
        names.append(connection.execute(text("SELECT study_name FROM studies")).scalar_one())

    with ThreadPoolExecutor(1) as pool:
        thawed = pool.submit(frozen.transaction, freeze)
        assert holds.wait(30)
        other.transaction(lambda connection: connection.execute(text("UPDATE studies SET study_name = 'other'")))
        assert other.get_study_name_from_id(1) == "other"
        goes_on.set()
        thawed.result(30)
    assert names == ["frozen"]
    assert other.get_study_name_from_id(1) == "frozen"


@pytest.mark.usefixtures("noticed_soon")
@pytest.mark.parametrize("kind", [PostgresServer, pytest.param(MariaServer, marks=pytest.mark.slow)])
def test_a_server_that_is_killed_and_comes_back_loses_nothing(
    kind: type[Server],
    caplog: pytest.LogCaptureFixture,
    storages: Callable[..., RetryingStorage],
    server_of_its_own: Callable[..., AbstractContextManager[Server]],
) -> None:
    with server_of_its_own(kind) as server:
        server.start()
        server.execute("CREATE DATABASE db")
        storage = storages(server.url("db"))
        study = optuna.create_study(storage=storage, study_name="killed")
        trials = [optuna.Trial(study, storage.create_new_trial(study._study_id)) for _ in range(3)]
        stop = threading.Event()
        has_reported = threading.Semaphore(0)

        def report(trial: optuna.Trial) -> int:
            step = 0
            while not stop.is_set():
                trial.report(step / 3, step)
                trial.set_user_attr("alignment", {"step": step})
                storage.record_heartbeat(trial._trial_id)
                storage.transaction(lambda c: c.execute(text("UPDATE studies SET study_name = study_name")))
                step += 1
                if step == 2:
                    has_reported.release()
            study.tell(trial, 1.0)
            return step

        with ThreadPoolExecutor(len(trials)) as pool:
            reporting = [pool.submit(report, trial) for trial in trials]
            assert all(has_reported.acquire(timeout=60) for _ in trials)
            server.kill()
            wait_until(lambda: any("does not answer" in line for line in warnings_of(caplog)))
            server.start()
            stop.set()
            steps = [future.result(60) for future in reporting]
        again = optuna.load_study(study_name="killed", storage=storages(server.url("db"))).trials
        assert [trial.intermediate_values for trial in again] == [{s: s / 3 for s in range(n)} for n in steps]
        assert [trial.user_attrs["alignment"] for trial in again] == [{"step": n - 1} for n in steps]
        assert [trial.state.name for trial in again] == ["COMPLETE"] * 3
        warned = [line for line in warnings_of(caplog) if line.startswith("the store")]
        assert ["does not answer" in line for line in warned] == [True, False], warned
        assert min(steps) > 1
