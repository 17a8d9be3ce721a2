"""A study whose trials pause at rungs: what is trained, what is kept, and what is shown."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lab import Lab
from optuna.trial import FrozenTrial, TrialState
from waiting import wait_until

from smart_tuner.errors import Interrupted
from smart_tuner.outcome import Cause
from smart_tuner.run.paused_ends import files_to_continue, size_of
from smart_tuner.store.attributes import Attr
from trainer.protocol import EventKind, RunDir

PROMOTION: dict[str, Any] = {
    "pruner": {"kind": "promotion"},  # rungs: reports 1 and 2 of 4
    "objective": {"metric": "validation_loss"},
    "search": {"optimizer.lr": {"type": "float", "low": 5e-4, "high": 5e-3, "log": True}},
    "enqueue": [],
}
REPORT_SECONDS = 0.2  # enough to be stopped before the next report


@pytest.fixture
def pausing(lab: Lab) -> Lab:
    lab.define(**PROMOTION)
    lab.order(any={"pause": REPORT_SECONDS})
    return lab


def trials(lab: Lab) -> list[FrozenTrial]:
    return lab.study().get_trials(deepcopy=False)


def check_nothing_was_trained_twice(lab: Lab, numbers: range) -> None:
    for number in numbers:
        validated = lab.validated(number)
        assert validated == list(range(1, len(validated) + 1)), f"trial {number} reported {validated}"
        assert lab.resumed(number) == [False] + [True] * (len(lab.resumed(number)) - 1)


def test_trials_pause_and_the_best_go_on_from_their_checkpoints(pausing: Lab) -> None:
    result = pausing.tuner(jobs=3).optimize(6)
    found = trials(pausing)
    assert [trial.number for trial in found] == list(range(6))
    assert set(result.states) <= {"COMPLETE", "PRUNED"}
    assert 1 <= result.states["COMPLETE"] <= 3
    check_nothing_was_trained_twice(pausing, range(6))
    for trial in found:
        stopped = len(pausing.events(trial.number, EventKind.STOPPED))
        assert len(trial.user_attrs.get(Attr.PROMOTED, [])) == len(pausing.resumed(trial.number)) - 1
        if trial.state is TrialState.PRUNED:
            assert trial.user_attrs[Attr.CAUSE] == Cause.NOT_PROMOTED
            assert trial.value == trial.intermediate_values[max(trial.intermediate_values)]
            assert trial.user_attrs[Attr.REASON].startswith("the study has ended; it had paused with")
            assert trial.user_attrs[Attr.METRICS]["validation_loss"] > 0
            assert stopped == len(pausing.resumed(trial.number))
            assert size_of(pausing.run_dir(trial.number)) > 0
    best = min(found, key=lambda trial: trial.intermediate_values[1])
    assert best.state is TrialState.COMPLETE


def test_near_the_end_of_its_frames_a_study_finishes_what_it_has(pausing: Lab) -> None:
    pausing.tuner().optimize(20, frames=2000)  # two budgets: without this it begins six trials, and none ends
    states = [trial.state.name for trial in trials(pausing)]
    assert states.count("COMPLETE") == 1, states
    ended = next(trial for trial in trials(pausing) if trial.state is TrialState.COMPLETE)
    first = [trial.intermediate_values[1] for trial in trials(pausing)[:3]]  # that had come to the first rung by then
    assert ended.intermediate_values[1] == min(first)
    check_nothing_was_trained_twice(pausing, range(len(states)))


@pytest.mark.slow
def test_more_trials_let_the_ended_ones_go_on(pausing: Lab) -> None:
    pausing.tuner(jobs=3).optimize(3)
    before = trials(pausing)
    gone = next(trial.number for trial in before if trial.state is TrialState.PRUNED)
    for file in files_to_continue(pausing.run_dir(gone)):
        file.unlink()
    pausing.order(any={})
    result = pausing.tuner(overrides={"pruner.kind": "none"}).optimize(4)
    states = [trial.state.name for trial in trials(pausing)]
    assert states == ["PRUNED" if trial.number == gone else "COMPLETE" for trial in trials(pausing)]
    assert result.states == {"COMPLETE": 3, "PRUNED": 1}
    check_nothing_was_trained_twice(pausing, range(4))


@pytest.mark.slow
def test_checkpoints_beyond_the_limit_are_given_up(pausing: Lab) -> None:
    pausing.tuner(jobs=2, overrides={"limits.paused_gb": 0}).optimize(4)
    found = trials(pausing)
    given_up = [trial for trial in found if trial.user_attrs.get(Attr.CAUSE) == Cause.DISK_LIMIT]
    assert given_up
    for trial in given_up:
        assert size_of(pausing.run_dir(trial.number)) == 0
        assert "more than 0 GB (`limits.paused_gb`)" in trial.user_attrs[Attr.REASON]
        assert trial.value is not None
    assert all(trial.state.is_finished() for trial in found)


def test_files_with_several_names_count_once(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.create()
    run_dir.last_checkpoint.write_bytes(bytes(100))
    os.link(run_dir.last_checkpoint, run_dir.reported_checkpoint)
    run_dir.previous_checkpoint.write_bytes(bytes(10))
    run_dir.best_checkpoint.write_bytes(bytes(1))
    assert size_of(run_dir) == 110
    assert files_to_continue(run_dir) == [
        run_dir.last_checkpoint,
        run_dir.previous_checkpoint,
        run_dir.reported_checkpoint,
    ]


@pytest.mark.slow
def test_a_trial_whose_worker_left_between_the_report_and_the_pause_is_judged_again(pausing: Lab) -> None:
    pausing.order(any={"hold_at": 1})
    tuner = pausing.tuner(overrides={"pruner.kind": "none"})
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(tuner.optimize, 1)
        wait_until(lambda: pausing.validated(0) == [1])
        tuner.stop()
        with pytest.raises(Interrupted):
            work.result()
    (trial,) = trials(pausing)
    assert (trial.state, trial.user_attrs.get(Attr.PAUSED)) == (TrialState.WAITING, None)
    pausing.order(any={"pause": REPORT_SECONDS})
    assert pausing.tuner().optimize(1).states == {"COMPLETE": 1}  # the last one left is always worth it
    assert trials(pausing)[0].user_attrs[Attr.PROMOTED] == [1, 2]
    check_nothing_was_trained_twice(pausing, range(1))
