"""The time at work of trials and of a study, as the report, the terminal and a message show it."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from lab import study_spec
from messages import Recorder
from optuna.trial import FrozenTrial, TrialState, create_trial

from smart_tuner.notify.sink import NotificationSink
from smart_tuner.pages.facts import facts_of
from smart_tuner.store.attributes import Attr
from smart_tuner.store.control import Budget, request_run
from smart_tuner.store.queue import Queue
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study
from smart_tuner.terminal import stored
from smart_tuner.terminal.stored import StoredStudy
from smart_tuner.terminal.tally import tally_of
from smart_tuner.working_time import Span, seconds_at_work, spans_of_record, stored_spans
from smart_tuner.workspace import Workspace
from trainer.protocol import Event, EventKind

EVENING = datetime(2026, 1, 1, 22)
MORNING = EVENING + timedelta(hours=10)
HOUR = timedelta(hours=1)


def trial(state: TrialState, *worked: tuple[datetime, datetime], stored: bool = True) -> FrozenTrial:
    """stored: False for a trial of an older version, which stored only the start and the end of the last attempt."""
    made = create_trial(state=state)
    if stored:
        made.set_user_attr(Attr.WORKED, [(begin.timestamp(), end.timestamp()) for begin, end in worked])
    made.datetime_start, made.datetime_complete = worked[-1]
    return made


def night() -> list[FrozenTrial]:
    """Two trials side by side, one interrupted after an hour and continued the next morning, and an older one."""
    return [
        trial(TrialState.PRUNED, (EVENING, EVENING + HOUR), (MORNING, MORNING + HOUR / 2)),
        trial(TrialState.FAIL, (EVENING, EVENING + 2 * HOUR)),
        trial(TrialState.FAIL, (MORNING, MORNING + HOUR / 4), stored=False),
    ]


def test_an_idle_night_between_two_starts_counts_nowhere(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/studies.db")
    spec = study_spec()
    study = open_study(storage, spec)
    request_run(study, Budget(3), joins=False)
    recorder = Recorder()
    sink = NotificationSink(recorder, spec, Queue(study, storage, 3), storage, Workspace(tmp_path))
    sink.study_started()
    for past in night():
        study.add_trial(past)
    sink.look_for_end()
    assert "lab: finished. 3 trials in 2 h 30 min" in recorder.texts[-1]

    trials = study.get_trials()
    assert tally_of(trials).worked == 2.5 * 3600
    assert tally_of(trials).seconds == pytest.approx((1.5 + 2 + 0.25) / 3 * 3600)
    assert StoredStudy(study, storage, tmp_path).view().elapsed == 2.5 * 3600
    facts = facts_of(study, tmp_path)
    assert [shown.cost.seconds / 3600 for shown in facts.trials if shown.cost] == [1.5, 2, 0.25]
    assert facts.bill.estimated == 1


def test_each_start_counts_from_its_first_to_its_last_event() -> None:
    def event(kind: EventKind, at: float) -> Event:
        return Event(kind, 0, 0, {}, at)

    events = [
        event(EventKind.STARTED, 100),
        event(EventKind.PROGRESS, 160),
        event(EventKind.PROGRESS, 150),  # the clock was set back
        event(EventKind.STARTED, 9000),
        event(EventKind.STOPPED, 9040),
    ]
    assert spans_of_record(events) == [Span(100, 160), Span(9000, 9040)]
    assert seconds_at_work(spans_of_record(events)) == 100
    assert seconds_at_work([]) == 0


def test_an_attempt_that_runs_counts_until_now_and_a_wait_does_not() -> None:
    worked = (EVENING, EVENING + HOUR)
    waiting = trial(TrialState.WAITING, worked)
    assert seconds_at_work(stored_spans(waiting, until=time.time())) == 3600
    running = trial(TrialState.RUNNING, worked)
    running.datetime_start, running.datetime_complete = MORNING, None
    assert seconds_at_work(stored_spans(running, until=MORNING.timestamp() + 60)) == 3660
    assert seconds_at_work(stored_spans(running)) == 3600
    never = trial(TrialState.FAIL, worked)
    never.set_user_attr(Attr.WORKED, [])
    assert stored_spans(never) == [], "no trainer ever started"


def test_the_night_after_a_worker_was_killed_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/studies.db")
    study = open_study(storage, study_spec())
    running = create_trial(state=TrialState.RUNNING)
    running.datetime_start, running.datetime_complete = datetime.now() - 10 * HOUR, None
    study.add_trial(running)
    monkeypatch.setattr(stored, "seconds_since_heartbeat", lambda *_: {0: 9 * 3600.0})
    assert StoredStudy(study, storage, tmp_path).view().elapsed == pytest.approx(3600, abs=60)
