"""What a study needs of a store, tested on every kind of store."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
import pytest
from lab import open_queue
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from servers import every_store
from sqlalchemy import create_engine, text

from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import GRACE_SECONDS, open_storage

NAME = "голос ёж / 声 🎙"
FLOAT = FloatDistribution(1e-5, 1e-1, log=True)
LOG = "".join(f"кадр {i}: потеря 0.{i} 'как есть' \\ \"%s\" {{}}\n" for i in range(150))  # more than 5 kB
DEFINITION = {"text": "x" * 20_000, "search": {"ключ": [1, 0.1, None, True]}}

pytestmark = every_store


@pytest.fixture
def storage(storage_url: str) -> RetryingStorage:
    return open_storage(storage_url)


def new_study(storage: RetryingStorage, name: str = NAME) -> int:
    return storage.create_new_study([StudyDirection.MINIMIZE], name)


def again(url: str) -> list[FrozenTrial]:
    return optuna.load_study(study_name=NAME, storage=open_storage(url)).trials


def test_what_is_written_is_there_when_the_store_is_opened_again(storage: RetryingStorage, storage_url: str) -> None:
    study_id = new_study(storage)
    storage.set_study_user_attr(study_id, "definition", DEFINITION)
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_param(trial_id, "optimizer.lr", 0.1 + 0.2, FloatDistribution(0, 1))
    storage.set_trial_param(trial_id, "model.reduction", 3, IntDistribution(1, 5))
    storage.set_trial_param(trial_id, "вид", 1, CategoricalDistribution(["adam", "adamw"]))
    for step, value in enumerate((0.1 + 0.2, 1e-300, 1.7e308, -1 / 3)):
        storage.set_trial_intermediate_value(trial_id, step, value)
    storage.set_trial_user_attr(trial_id, "причина", LOG)
    assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1 / 3])
    study = optuna.load_study(study_name=NAME, storage=open_storage(storage_url))
    (trial,) = study.trials
    assert study.user_attrs == {"definition": DEFINITION}
    assert trial.params == {"optimizer.lr": 0.1 + 0.2, "model.reduction": 3, "вид": "adamw"}
    assert trial.intermediate_values == {0: 0.1 + 0.2, 1: 1e-300, 2: 1.7e308, 3: -1 / 3}
    assert trial.user_attrs == {"причина": LOG}
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 1 / 3)


def test_infinite_values_and_nan_are_kept(storage: RetryingStorage, storage_url: str) -> None:
    trial_id = storage.create_new_trial(new_study(storage))
    for step, value in enumerate((float("inf"), float("-inf"), float("nan"))):
        storage.set_trial_intermediate_value(trial_id, step, value)
    values = again(storage_url)[0].intermediate_values
    assert repr(values) == "{0: inf, 1: -inf, 2: nan}"


def test_an_attribute_of_sixty_kilobytes_fits(storage: RetryingStorage, storage_url: str) -> None:
    trial_id = storage.create_new_trial(new_study(storage))
    storage.set_trial_user_attr(trial_id, "reason", "x" * 60_000)
    assert again(storage_url)[0].user_attrs == {"reason": "x" * 60_000}


def test_times_are_those_of_the_writer_to_the_second(storage: RetryingStorage, storage_url: str) -> None:
    before = datetime.now() - timedelta(seconds=1)
    trial_id = storage.create_new_trial(new_study(storage))
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    trial = again(storage_url)[0]
    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None
    assert before <= trial.datetime_start <= trial.datetime_complete <= datetime.now() + timedelta(seconds=1)


@pytest.mark.usefixtures("timezone")
@pytest.mark.parametrize("timezone", ["Asia/Tokyo"], indirect=True)
def test_times_are_right_in_any_time_zone(storage: RetryingStorage, storage_url: str) -> None:
    test_times_are_those_of_the_writer_to_the_second(storage, storage_url)


@pytest.fixture
def timezone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_threads_that_open_an_empty_store_together_make_it_once(storage_url: str) -> None:
    with ThreadPoolExecutor(5) as pool:
        opened = list(pool.map(lambda _: open_storage(storage_url), range(5)))
    assert {storage.get_current_version() for storage in opened} == {opened[0].get_head_version()}


def silence(storage: RetryingStorage) -> None:
    """Set the last heartbeats to years ago."""
    with storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'"))


def test_a_running_trial_is_stale_from_a_missed_heartbeat_to_the_next(storage: RetryingStorage) -> None:
    study_id = new_study(storage)
    silent, alive, finished, never = (storage.create_new_trial(study_id) for _ in range(4))
    for trial_id in (silent, alive, finished):
        storage.record_heartbeat(trial_id)
    assert storage.stale_trial_ids(study_id) == []
    silence(storage)
    storage.record_heartbeat(alive)
    storage.set_trial_state_values(finished, TrialState.FAIL)
    assert storage.stale_trial_ids(study_id) == [silent]
    storage.record_heartbeat(silent)
    assert storage.stale_trial_ids(study_id) == []
    assert never not in storage.stale_trial_ids(study_id)


@pytest.mark.usefixtures("timezone")
@pytest.mark.parametrize("timezone", ["America/New_York"], indirect=True)
def test_heartbeats_are_by_the_clock_of_the_store_in_utc(storage: RetryingStorage) -> None:
    study_id = new_study(storage)
    trial_id = storage.create_new_trial(study_id)
    for _ in range(2):  # the first makes the record, the second changes it
        storage.record_heartbeat(trial_id)
        with storage.engine.connect() as connection:
            beat = connection.execute(text("SELECT heartbeat FROM trial_heartbeats")).scalar_one()
        utc = datetime.now(UTC).replace(tzinfo=None)
        assert abs(datetime.fromisoformat(str(beat)) - utc) < timedelta(seconds=GRACE_SECONDS)
    assert storage.stale_trial_ids(study_id) == []


def test_another_reader_does_not_block_a_writer_and_sees_one_state(storage: RetryingStorage, storage_url: str) -> None:
    trial_id = storage.create_new_trial(new_study(storage))
    engine = create_engine(storage_url)
    count = text("SELECT count(*) FROM trial_intermediate_values")
    with engine.connect() as reader:
        if engine.name == "sqlite":
            reader.exec_driver_sql("BEGIN")
        else:
            reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        assert reader.execute(count).scalar_one() == 0
        for step in range(20):
            storage.set_trial_intermediate_value(trial_id, step, 1.0)
        assert reader.execute(count).scalar_one() == 0
        reader.rollback()
        assert reader.execute(count).scalar_one() == 20
    engine.dispose()


def test_many_threads_report_on_their_trials_at_once(storage: RetryingStorage, storage_url: str) -> None:
    study_id = new_study(storage)
    trial_ids = [storage.create_new_trial(study_id) for _ in range(8)]

    def report(trial_id: int) -> None:
        for step in range(15):
            storage.set_trial_intermediate_value(trial_id, step, float(step))
            storage.set_trial_user_attr(trial_id, "alignment", {str(step): 0.5})
            storage.record_heartbeat(trial_id)

    with ThreadPoolExecutor(len(trial_ids)) as pool:
        list(pool.map(report, trial_ids))
    assert [trial.intermediate_values for trial in again(storage_url)] == [{s: float(s) for s in range(15)}] * 8


def connection_lost(engine: Any) -> Exception:
    """The driver's own error."""
    driver = engine.dialect.loaded_dbapi
    error: Exception = driver.OperationalError(2013, "Lost connection to server during query")
    if engine.name == "sqlite":
        error.sqlite_errorcode = driver.SQLITE_IOERR  # type: ignore[attr-defined]
    return error


def test_a_retry_after_a_lost_answer_writes_once(
    storage: RetryingStorage, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = new_study(storage)
    trial_id = storage.create_new_trial(study_id)
    steps = (
        lambda: storage.set_study_user_attr(study_id, "a", 1),
        lambda: storage.set_trial_param(trial_id, "lr", 0.5, FloatDistribution(0, 1)),
        lambda: storage.set_trial_intermediate_value(trial_id, 3, 0.25),
        lambda: storage.set_trial_user_attr(trial_id, "b", 2),
        lambda: storage.set_trial_system_attr(trial_id, "c", 3),
        lambda: storage.record_heartbeat(trial_id),
        lambda: storage.transaction(lambda c: c.execute(text("UPDATE studies SET study_name = study_name"))),
        lambda: storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.25]),
    )
    for step in steps:
        with monkeypatch.context() as patch:
            commits = lose_first_answer(storage, patch)
            step()
        assert commits[0] >= 1
    (trial,) = again(storage_url)
    assert (trial.params, trial.intermediate_values, trial.user_attrs) == ({"lr": 0.5}, {3: 0.25}, {"b": 2})
    assert (trial.state, trial.value, trial.system_attrs["c"]) == (TrialState.COMPLETE, 0.25, 3)


def lose_first_answer(storage: RetryingStorage, patch: pytest.MonkeyPatch) -> list[int]:
    """Lose the answer of the next commit, which itself succeeds. Returns the count of commits, which keeps counting."""
    commits = [0]
    commit = storage.engine.dialect.do_commit

    def lossy(connection: Any) -> None:
        commit(connection)
        commits[0] += 1
        if commits[0] == 1:
            raise connection_lost(storage.engine)

    patch.setattr(storage.engine.dialect, "do_commit", lossy)
    return commits


def test_a_study_is_opened_when_the_answer_to_its_creation_was_lost(
    storage: RetryingStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_first_answer(storage, monkeypatch)
    study = optuna.create_study(storage=storage, study_name=NAME, load_if_exists=True)
    assert optuna.get_all_study_names(storage) == [study.study_name] == [NAME]


def test_finishing_a_finished_trial_is_an_error(storage: RetryingStorage) -> None:
    trial_id = storage.create_new_trial(new_study(storage))
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.25])
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.25])


def test_a_trial_given_back_is_taken_once(storage_url: str) -> None:
    queues = [open_queue(storage_url, 1)[2] for _ in range(4)]
    trial = queues[0].take()
    assert trial is not None
    queues[0].give_back(trial)
    with ThreadPoolExecutor(4) as pool:
        taken = [taken for taken in pool.map(lambda queue: queue.take(), queues) if taken is not None]
    assert [taken.number for taken in taken] == [0]
