"""When a study's attention fails in most trials: which trials count, and which are the last."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from lab import open_queue, study_spec
from messages import Recorder
from optuna.trial import FrozenTrial, TrialState, create_trial

from smart_tuner.notify.attention import Attention, attention_of
from smart_tuner.notify.sink import NotificationSink
from smart_tuner.outcome import Cause, Outcome, State
from smart_tuner.store.attributes import Attr
from smart_tuner.workspace import Workspace

SPEC = study_spec(budget={"frames": 1000, "reports": 10}, pruner={"kind": "promotion"})
MUTE = 0.05
MORNING = 1_700_000_000.0


def trial(number: int, state: TrialState, alignment: float, at: float, user: dict[str, Any]) -> FrozenTrial:
    value = 1.0 if state is TrialState.COMPLETE else None
    made = create_trial(state=state, value=value, user_attrs={Attr.METRICS: {"alignment": alignment}, **user})
    made.number = number
    made.datetime_complete = datetime.fromtimestamp(MORNING + at) if state.is_finished() else None
    return made


def ended(number: int, alignment: float) -> FrozenTrial:
    return trial(number, TrialState.COMPLETE, alignment, number, {})


def paused(number: int, alignment: float, report: int, *, since: float | None = None) -> FrozenTrial:
    """since: it ended with its study then."""
    where = {"index": report, "reason": "", "time": MORNING + number}
    if since is None:
        return trial(number, TrialState.WAITING, alignment, 0, {Attr.PAUSED: where})
    user = {Attr.PAUSED: where, Attr.CAUSE: Cause.NOT_PROMOTED}
    return trial(number, TrialState.PRUNED, alignment, since, user)


def test_mute_trials_that_pause_after_30_percent_count_and_earlier_ones_do_not() -> None:
    assert attention_of([paused(number, MUTE, 3) for number in range(6)], SPEC) == Attention(failing=6, seen=6)
    assert attention_of([paused(number, MUTE, 1) for number in range(9)], SPEC) == Attention(failing=0, seen=0)


@pytest.mark.parametrize(("alignment", "failing"), [(0.29, 1), (0.31, 0)])
def test_of_a_paused_trial_less_is_expected_than_of_one_that_has_ended(alignment: float, failing: int) -> None:
    assert attention_of([paused(0, alignment, 3)], SPEC).failing == failing
    assert attention_of([ended(0, alignment)], SPEC).failing == 1


def test_it_fails_in_six_of_the_last_eight() -> None:
    good = [ended(number, 0.9) for number in range(4)]
    mute = [paused(number, MUTE, 3) for number in range(4, 10)]
    assert attention_of([*good, *mute], SPEC) == Attention(failing=6, seen=8)
    assert attention_of([*good, *mute], SPEC).fails
    assert not attention_of([*good, *mute[1:]], SPEC).fails


def test_those_that_end_with_their_study_count_as_when_they_paused() -> None:
    """Else the last of a study that has gone well would be those that were not worth it."""
    mute = [paused(number, MUTE, 3, since=100) for number in range(6)]
    good = [ended(number, 0.9) for number in range(6, 10)]
    assert attention_of([*mute, *good], SPEC) == Attention(failing=4, seen=8)


def test_trials_that_run_or_wait_do_not_count() -> None:
    unfinished = [trial(number, state, MUTE, 0, {}) for number, state in enumerate((TrialState.RUNNING,) * 8)]
    assert attention_of(unfinished, SPEC).seen == 0


def test_it_is_reported_once_when_a_trial_pauses(tmp_path: Path) -> None:
    _, study, queue = open_queue(f"sqlite:///{tmp_path}/studies.db", 9, SPEC)
    recorder = Recorder()
    sink = NotificationSink(recorder, SPEC, queue, queue.storage, Workspace(tmp_path))
    for number in range(7):
        study.add_trial(paused(number, MUTE, 3))
        sink.trial_ended(number, Outcome(State.PAUSED, Cause.PAUSED, ""))
    (text,) = recorder.texts
    assert text.startswith("lab: attention failed in 6 of the last 6 trials.")
