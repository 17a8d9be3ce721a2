"""What ends a study before it has all its trials: hours of a start, frames of all trials."""

import io
import re

import pytest
from lab import GUIDED, REPORTS, Lab, open_queue, study_spec
from queues import take
from servers import every_store

from smart_tuner.errors import StudyError, UserError
from smart_tuner.run.worker import run_worker
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.store.attributes import Attr
from smart_tuner.store.control import read_control

SHORT = 0.5 / 3600  # hours
TRIAL = 1000  # frames of a whole one


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.run.pool.WATCH_SECONDS", 0.1)


@pytest.fixture
def said(lab: Lab) -> io.StringIO:
    lab.console.file.close()
    lab.console.file = lines = io.StringIO()
    return lines


def test_when_its_time_is_up_the_trials_save_and_the_same_command_goes_on(lab: Lab, said: io.StringIO) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    result = lab.tuner().optimize(2, hours=SHORT)
    assert (result.best, lab.states()) == (None, ["WAITING"])
    assert (
        "study 'lab' has ended after 0 of 2 trials, because the study's time is up; the same command continues it"
    ) in said.getvalue()
    lab.order()
    assert sum(lab.tuner().optimize(2, hours=1).states.values()) == 2
    assert lab.resumed(0) == [False, True]


def test_the_hours_of_the_definition_count_from_each_start(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED], hours=SHORT)
    lab.order(t0={"hold_at": 2})
    lab.tuner().optimize(1)
    first = read_control(lab.study()).deadline
    lab.tuner().optimize(1)
    second = read_control(lab.study()).deadline
    assert first is not None
    assert second is not None
    assert second > first
    assert lab.states() == ["WAITING"]
    lab.order()
    assert sum(lab.tuner().optimize(1, hours=1).states.values()) == 1, "an option comes before the definition"


def test_the_frames_of_all_trials_end_a_study_and_more_of_them_continue_it(lab: Lab, said: io.StringIO) -> None:
    lab.define(enqueue=[GUIDED], frames=2 * TRIAL)
    lab.order(any={"hold_unguided_at": REPORTS + 1})
    lab.tuner(overrides={"pruner.kind": "none"}).optimize(5)
    assert lab.states() == ["COMPLETE"] * 2
    assert (
        "after 2 of 5 trials, because its trials have trained the 2,000 frames that were asked for" in said.getvalue()
    )
    with pytest.raises(UserError, match="--frames MORE"):
        lab.tuner().resume()
    assert lab.tuner(overrides={"pruner.kind": "none"}).optimize(5).states["COMPLETE"] == 2, "it stays ended"
    lab.tuner(overrides={"pruner.kind": "none"}).optimize(5, frames=3 * TRIAL)
    assert lab.states() == ["COMPLETE"] * 3


def test_a_trial_that_runs_when_the_frames_are_trained_saves_its_state(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 3})
    lab.tuner().optimize(2, frames=TRIAL // 2)
    (trial,) = lab.study().trials
    assert (trial.state.name, trial.user_attrs[Attr.FRAMES]) == ("WAITING", 750)
    lab.order()
    lab.tuner().optimize(1)
    assert lab.study().trials[0].user_attrs[Attr.FRAMES] == TRIAL, "what it had trained is not counted twice"
    assert lab.validated(0) == [1, 2, 3, 4]


def test_workers_leave_a_study_alone_whose_frames_are_trained(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.tuner().submit(3, frames=TRIAL)
    tuner = lab.tuner()
    assert run_worker(tuner.settings, tuner._executor, lab.console) == {
        "lab": "its trials have trained the 1,000 frames that were asked for"
    }
    assert run_worker(tuner.settings, tuner._executor, lab.console) == {}
    assert lab.tuner().stored().view().notice.startswith("its trials have trained")


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ({"trials": 0}, "`trials` must be at least 1, but got 0"),
        ({"frames": 0}, "`frames` must be at least 1, but got 0"),
        ({"hours": 0.0}, "`hours` must be greater than 0, but got 0"),
    ],
)
def test_a_budget_that_no_trial_can_have_is_refused(lab: Lab, budget: dict[str, float], problem: str) -> None:
    with pytest.raises(UserError, match=re.escape(problem)):
        lab.tuner().optimize(**budget)  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="`frames` must be at least 1"):
        study_spec(frames=0)


@every_store
def test_the_frames_of_a_study_are_the_sum_over_its_trials(storage_url: str) -> None:
    _, _, queue = open_queue(storage_url, 3)
    assert queue.frames() == 0
    for frames in (250, 1000):
        assert queue.write(take(queue), {Attr.FRAMES: frames})
    _, _, other = open_queue(storage_url, 3, study_spec(name="other"))
    assert other.write(take(other), {Attr.FRAMES: 70_000_000_000})
    assert (queue.frames(), other.frames()) == (1250, 70_000_000_000)


def test_the_earlier_name_of_the_hours_is_still_read(lab: Lab) -> None:
    assert study_spec(limits={"study_hours": 8, "trial_hours": 2}).hours == 8
    assert study_spec(limits={"study_hours": 8}, hours=3).hours == 3
    assert reread(study_spec(limits={"study_hours": 8})).hours == 8
    assert lab.tuner(overrides={"limits.study_hours": 4}).spec.hours == 4
    lab.define(limits={"study_hours": 8})
    assert lab.tuner(overrides={"hours": 4}).spec.hours == 4


def reread(spec: StudySpec) -> StudySpec:
    return parse_study(spec.as_given(), "again")
