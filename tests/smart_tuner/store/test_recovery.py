"""A trial whose worker is gone goes back to the queue, and none whose worker lives, whatever clocks say."""

import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState
from queues import Opened, finish, take, taker
from sqlalchemy import text

from smart_tuner.store.attributes import Attr
from smart_tuner.store.optuna_internals import study_id
from smart_tuner.store.queue import Queue
from smart_tuner.store.statements import take_waiting


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


def test_of_two_that_recover_the_same_trial_one_succeeds(
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


def test_a_recovered_trial_is_not_recovered_from_a_worker_that_has_yet_to_write_its_owner(
    opened: Opened, storage_url: str
) -> None:
    storage, study, queue = opened
    process = taker(storage_url, 5, "hold")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    silence(storage)
    queue.recover()
    with storage.engine.begin() as connection:
        assert take_waiting(connection, study_id(study), 5)  # between the two steps of `take`
    assert queue.recover() == []


def owner_elsewhere(trial: Trial) -> dict[str, Any]:
    owner: dict[str, Any] = trial.user_attrs[Attr.OWNER]
    return {**owner, "host": "elsewhere"}


def test_a_worker_on_another_machine_is_gone_once_it_is_silent(opened: Opened) -> None:
    storage, _, queue = opened
    trial = take(queue)
    trial.set_user_attr(Attr.OWNER, owner_elsewhere(trial))
    assert queue.recover() == []
    silence(storage)
    assert queue.recover() == [0]


def test_a_worker_whose_heartbeats_come_again_keeps_its_trial(opened: Opened) -> None:
    storage, _, queue = opened
    trial = take(queue)
    trial.set_user_attr(Attr.OWNER, owner_elsewhere(trial))
    silence(storage)
    queue.beat(trial)
    assert queue.recover() == []


def test_a_process_does_not_rob_itself_after_the_machine_has_slept(opened: Opened) -> None:
    storage, study, queue = opened
    take(queue)
    silence(storage)
    assert queue.recover() == []
    assert state(study, 0) is TrialState.RUNNING


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere a process's start moves with the clock")
def test_a_clock_that_is_set_makes_nobody_dead(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = opened[2]
    take(queue)
    begun = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: begun(process) + 7200)
    assert queue.recover() == []


def test_a_process_of_the_same_number_that_began_later_is_another_one(opened: Opened) -> None:
    _, _, queue = opened
    trial = take(queue)
    owner = trial.user_attrs[Attr.OWNER]
    trial.set_user_attr(Attr.OWNER, {**owner, "started": owner["started"] - 3600})
    assert queue.recover() == [0]


def test_a_worker_that_was_thought_dead_ends_nothing(opened: Opened) -> None:
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
