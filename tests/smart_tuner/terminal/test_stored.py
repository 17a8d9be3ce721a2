"""A study viewed from outside: by the store, and by the records of trials that are on this machine."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lab import GUIDED, UNGUIDED, Lab, open_queue
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Table, update
from waiting import wait_until

from smart_tuner.outcome import Cause
from smart_tuner.store.attributes import Attr
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import open_storage
from smart_tuner.terminal.stored import StoredStudy
from smart_tuner.terminal.view import View

_beats: Table = models.TrialHeartbeatModel.__table__


def look(lab: Lab) -> View:
    return lab.tuner().stored().view()


NOON = datetime(2026, 1, 31, 12)


def test_a_submitted_study_without_trials(lab: Lab) -> None:
    lab.tuner().submit(3)
    view = look(lab)
    assert (view.target, view.tally.finished, view.running, view.elapsed) == (3, 0, (), None)
    assert view.notice == "no worker is at work on it"
    lab.tuner().stop()
    view = look(lab)
    assert view.notice == "the study was stopped"
    assert not view.goes_on


def test_the_outcome_and_the_cause_of_each_trial(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED, UNGUIDED])
    lab.order(any={"hold_unguided_at": 2}, t2={"act": ["bad input"]})
    lab.tuner().optimize(3)
    view = look(lab)
    assert (view.tally.finished, view.tally.failed, view.tally.pruned) == (
        3,
        {Cause.BAD_INPUT: 1},
        {Cause.ATTENTION: 1},
    )
    assert view.tally.best is not None
    assert view.tally.best.number == 0
    assert [row.number for row in view.tally.ended] == [2, 1, 0], "newest first"
    assert view.tally.seconds is not None
    assert view.tally.seconds > 0
    assert not view.goes_on
    assert view.notice == ""


def silence(storage: RetryingStorage, seconds: float) -> None:
    """Set the last heartbeat of all workers back by so many seconds."""
    beaten = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=seconds)
    storage.transaction(lambda connection: connection.execute(update(_beats).values(heartbeat=beaten)))


def test_a_stopped_study_goes_on_until_its_trials_have_ended_but_not_for_dead_workers(lab: Lab) -> None:
    lab.tuner().submit(1)
    storage, _, queue = open_queue(lab.url, 1)
    assert queue.take() is not None
    lab.tuner().stop()
    view = look(lab)
    assert (view.notice, view.goes_on) == ("the study was stopped", True)
    silence(storage, 600)
    assert not look(lab).goes_on


@pytest.fixture
def at_work(lab: Lab) -> Iterator[Lab]:
    """A trial that has reported twice, and is then held."""
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    worker = threading.Thread(target=lambda: lab.tuner().optimize(1))
    worker.start()
    try:
        wait_until(lambda: 2 in lab.validated(0))
        wait_until(lambda: lab.study().trials[0].intermediate_values.keys() == {1, 2})
        yield lab
    finally:
        (lab.run_dir(0).path / "go").touch()
        worker.join(30)


def test_a_trial_at_work_is_shown_by_its_record_and_followed_to_its_end(at_work: Lab) -> None:
    stored = at_work.tuner().stored()
    (row,) = stored.view().running
    assert (row.share, row.reports, row.validated, row.here) == (0.5, 2, True, True)
    assert row.speed == 1000.0
    assert row.left is not None
    assert row.alignment is not None
    assert row.alignment > 0
    assert row.doing == "training"
    assert row.params == GUIDED
    (at_work.run_dir(0).path / "go").touch()
    wait_until(lambda: stored.view().tally.finished == 1)
    assert stored.view().running == ()


def test_a_worker_that_was_killed_on_this_machine_is_shown_as_gone_at_once(lab: Lab) -> None:
    storage, study, queue = open_queue(lab.url, 1)
    trial = queue.take()
    assert trial is not None
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        pass
    trial.set_user_attr(Attr.OWNER, {**trial.user_attrs[Attr.OWNER], "pid": gone.pid})
    (row,) = StoredStudy(study, storage, lab.path).view().running
    assert (row.doing, row.left, row.here) == ("worker gone", None, True)


def elsewhere(lab: Lab) -> StoredStudy:
    """The same trial as seen from another machine, which does not have its folder."""
    storage = open_storage(lab.url)
    study = lab.study()
    trial = study.get_trials(states=(TrialState.RUNNING,))[0]
    owner: dict[str, Any] = trial.user_attrs[Attr.OWNER]
    storage.set_trial_user_attr(trial._trial_id, Attr.OWNER, {**owner, "host": "rack7 0000 pid:[1]"})
    return StoredStudy(study, storage, lab.path / "elsewhere")


def test_a_trial_without_a_folder_here_is_shown_by_its_reports_and_heartbeats(at_work: Lab) -> None:
    stored = elsewhere(at_work)
    (row,) = stored.view().running
    assert (row.share, row.reports, row.validated, row.here) == (0.5, 2, True, False)
    assert row.alignment is not None
    assert row.speed is None
    assert row.doing == "on rack7"
    assert socket.gethostname() != "rack7"
    silence(open_storage(at_work.url), 600)
    (row,) = stored.view().running
    assert row.doing == "silent 10 min"
