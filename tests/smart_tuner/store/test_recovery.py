"""The trial of a dead worker goes back to the queue, that of a live worker does not, whatever the clocks show."""

import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState
from queues import Opened, finish, take, taker
from servers import every_store
from sqlalchemy import text

from smart_tuner.store.attributes import Attr
from smart_tuner.store.optuna_internals import study_id
from smart_tuner.store.queue import Queue
from smart_tuner.store.statements import return_trial, running_attempts, take_waiting


def state(study: optuna.Study, number: int) -> TrialState:
    return study.get_trials(deepcopy=False)[number].state


def silence(storage: RDBStorage) -> None:
    """As if the last heartbeats were years ago."""
    with storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'"))


def test_a_trial_whose_process_was_killed_is_recovered_at_once(opened: Opened, storage_url: str) -> None:
    _, study, queue = opened
    process = taker(storage_url, 5, "hold")
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    assert queue.recover() == []  # it lives
    assert queue.is_at_work()
    assert state(study, 0) is TrialState.RUNNING
    process.kill()
    process.communicate()
    assert not queue.is_at_work()
    assert queue.recover() == [0]
    assert take(queue).number == 0


def test_only_one_of_two_workers_recovers_a_trial(
    opened: Opened, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, study, queue = opened
    process = taker(storage_url, 5, "hold")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    slow = Queue(study, storage, 5)
    seen = queue._orphans()
    assert queue.recover() == [0]
    monkeypatch.setattr(slow, "_orphans", lambda: seen)
    assert slow.recover() == []
    again = take(queue)
    assert slow.recover() == []
    assert state(study, 0) is TrialState.RUNNING
    finish(queue, again)
    assert slow.recover() == []


def test_a_trial_is_not_recovered_between_the_two_steps_of_taking_it(opened: Opened, storage_url: str) -> None:
    storage, study, queue = opened
    process = taker(storage_url, 5, "hold")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    silence(storage)
    queue.recover()
    with storage.engine.begin() as connection:
        assert take_waiting(connection, study_id(study), 5)  # the first step; the second one writes the owner
    assert queue.recover() == []


def owner_elsewhere(trial: Trial) -> dict[str, Any]:
    owner: dict[str, Any] = trial.user_attrs[Attr.OWNER]
    return {**owner, "host": "elsewhere"}


def test_a_worker_that_was_suspended_between_the_two_steps_leaves_the_trial_to_whoever_has_it(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, study, queue = opened
    other = Queue(study, storage, 5)

    def suspended(trial_id: int) -> None:
        monkeypatch.undo()
        with storage.engine.begin() as connection:
            assert return_trial(connection, *running_attempts(connection, study_id(study), 5))
        assert take(other).number == 0

    monkeypatch.setattr(storage, "record_heartbeat", suspended)
    assert queue.take() is None
    assert study.get_trials(deepcopy=False)[0].user_attrs[Attr.OWNER]["queue"] == other._owners._queue


def test_a_worker_on_another_machine_is_dead_once_it_sends_no_heartbeats(opened: Opened) -> None:
    storage, _, queue = opened
    trial = take(queue)
    trial.set_user_attr(Attr.OWNER, owner_elsewhere(trial))
    assert queue.recover() == []
    silence(storage)
    assert queue.recover() == [0]


def test_a_worker_that_sends_heartbeats_again_keeps_its_trial(opened: Opened) -> None:
    storage, _, queue = opened
    trial = take(queue)
    trial.set_user_attr(Attr.OWNER, owner_elsewhere(trial))
    silence(storage)
    queue.beat(trial)
    assert queue.recover() == []


def test_a_process_does_not_recover_its_own_trial_after_the_machine_slept(opened: Opened) -> None:
    storage, study, queue = opened
    take(queue)
    silence(storage)
    assert queue.recover() == []
    assert state(study, 0) is TrialState.RUNNING


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere a process's start moves with the clock")
def test_setting_the_clock_makes_no_worker_dead(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = opened[2]
    take(queue)
    begun = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: begun(process) + 7200)
    assert queue.recover() == []


def test_a_later_process_with_the_same_number_is_another_one(opened: Opened) -> None:
    _, _, queue = opened
    trial = take(queue)
    owner = trial.user_attrs[Attr.OWNER]
    trial.set_user_attr(Attr.OWNER, {**owner, "started": owner["started"] - 3600})
    assert queue.recover() == [0]


@every_store
def test_a_worker_that_was_taken_for_dead_can_finish_nothing(opened: Opened) -> None:
    storage, study, queue = opened
    slept = take(queue)
    slept.set_user_attr(Attr.OWNER, owner_elsewhere(slept))
    assert queue.is_ours(slept)
    silence(storage)
    other = Queue(study, storage, 5)
    assert other.recover() == [0]
    taken_over = take(other)
    assert taken_over.number == slept.number
    assert not queue.is_ours(slept)
    assert not queue.beat(slept)
    assert not queue.finish(slept, TrialState.COMPLETE, 0.1)
    queue.give_back(slept)
    assert state(study, 0) is TrialState.RUNNING
    finish(other, taken_over, 2.0)
    assert study.trials[0].value == 2.0
    assert not queue.finish(slept, TrialState.FAIL)


def test_the_time_zone_of_a_worker_makes_no_difference(
    opened: Opened, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = opened[2]
    for zone in ("Europe/Berlin", "America/New_York", "Asia/Kolkata"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        trial = take(queue)
        assert trial.number == 0
        assert queue.is_ours(trial)
        assert queue.recover() == []
        queue.give_back(trial)
    monkeypatch.delenv("TZ")
    time.tzset()
    finish(queue, take(queue))
    assert state(opened[1], 0) is TrialState.COMPLETE
