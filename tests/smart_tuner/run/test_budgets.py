"""What ends a study before it has all its trials: hours of a start, frames of all trials, that it has settled."""

import io
import math
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from lab import GUIDED, REPORTS, Lab, open_queue, study_spec
from queues import finish, take
from servers import every_store
from waiting import wait_until

from smart_tuner.errors import StudyError, UserError
from smart_tuner.run.session import Session
from smart_tuner.run.worker import run_worker
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.control import Budget, read_control, request_run
from smart_tuner.store.queue import Queue
from smart_tuner.store.statements import write_attributes

TRIAL = 1000  # frames of a whole one


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.run.pool.WATCH_SECONDS", 0.1)


def test_when_its_time_is_up_the_trials_save_and_the_same_command_goes_on(lab: Lab, said: io.StringIO) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})

    def end_its_time() -> None:
        wait_until(lambda: 2 in lab.validated(0) and lab.run_dir(0).last_checkpoint.exists())
        lab.study().set_user_attr(StudyAttr.DEADLINE, time.time())

    with ThreadPoolExecutor(1) as pool:
        pool.submit(end_its_time)
        result = lab.tuner().optimize(2, hours=1)
    assert (result.best, lab.states()) == (None, ["WAITING"])
    assert (
        "study 'lab' has ended after 0 of 2 trials, because the study's time is up; the same command continues it"
    ) in said.getvalue()
    lab.order()
    assert sum(lab.tuner().optimize(2, hours=1).states.values()) == 2
    assert lab.resumed(0) == [False, True]


def test_hours_count_from_each_start_and_an_option_comes_before_the_definition(lab: Lab) -> None:
    def hours_left() -> float:
        deadline = read_control(lab.study()).deadline
        assert deadline is not None
        return (deadline - time.time()) / 3600

    lab.define(hours=8)
    lab.tuner().submit(1)
    assert hours_left() == pytest.approx(8, abs=0.1)
    lab.tuner().submit(1, hours=2)
    assert hours_left() == pytest.approx(2, abs=0.1)
    lab.tuner().resume()
    assert hours_left() == pytest.approx(8, abs=0.1)


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


LOSSES = {"objective": {"metric": "validation_loss"}, "pruner": {"kind": "none"}, "enqueue": [GUIDED] * 5}


def test_a_search_that_has_settled_begins_no_further_trial(lab: Lab, said: io.StringIO) -> None:
    lab.define(**LOSSES)
    assert lab.tuner().optimize(5, until_settled=True).states == {"COMPLETE": 4}
    assert "study 'lab' has settled after 4 of 5 trials: a further trial is expected to be better by" in said.getvalue()
    assert lab.tuner().is_finished(5, until_settled=True)
    assert lab.tuner().is_finished()
    assert not lab.tuner().is_finished(5), "without `until`, five trials are five"
    assert lab.tuner().optimize(5).states == {"COMPLETE": 5}


def test_trials_that_run_when_it_settles_are_trained_to_their_end(lab: Lab) -> None:
    lab.define(**LOSSES, until="settled")
    lab.order(t0={"pause": 0.5})
    (ended,) = lab.tuner(jobs=2).optimize(9).states.items()
    assert ended in {("COMPLETE", number) for number in (4, 5, 6)}, "four have ended, up to two run"


def test_a_search_without_a_feasible_trial_does_not_settle(lab: Lab) -> None:
    lab.define(**LOSSES, until="settled", constraints={"alignment": {"at_least": 0.99}})
    assert lab.tuner().optimize(5).states == {"COMPLETE": 5}


@every_store
def test_only_the_first_worker_that_finds_it_settled_lowers_the_target(storage_url: str) -> None:
    _, study, queue = open_queue(storage_url, 9)
    other = Queue(study, queue.storage, 9)
    request_run(study, Budget(9, until_settled=True), joins=False)
    for _ in range(4):
        finish(queue, queue.take())
    assert queue.settle("enough") == 4
    assert (queue.target, other.target) == (4, 9)
    assert other.take() is None, "also before it reads what has been asked for"
    assert other.settle("enough, too") is None, "the first one has done it"
    assert other.target == 4
    settled = read_control(study).settled
    assert settled is not None
    assert (settled.asked, settled.trials, settled.why) == (9, 4, "enough")
    request_run(study, Budget(6), joins=False)
    late = Queue(study, queue.storage, 4)
    assert late.settle("late") is None
    assert late.target == read_control(study).target == 6, "people have asked for more"
    assert not read_control(study).has_settled


@every_store
def test_trials_that_are_asked_for_while_a_search_settles_are_not_lost(
    storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, study, queue = open_queue(storage_url, 9)
    request_run(study, Budget(9, until_settled=True), joins=False)
    finish(queue, queue.take())
    with ThreadPoolExecutor(1) as other:
        asked: list[Future[None]] = []

        def ask_before_it_is_lowered(*arguments: Any) -> None:
            asked.append(other.submit(request_run, study, Budget(12), joins=False))
            wait(asked, 0.3)  # it would have been written by then, if it did not have to wait for our commit
            write_attributes(*arguments)

        monkeypatch.setattr("smart_tuner.store.statements.write_attributes", ask_before_it_is_lowered)
        assert queue.settle("enough") == 1
    asked[0].result()
    assert read_control(study).target == 12


def test_the_earlier_name_of_the_hours_is_still_read(lab: Lab) -> None:
    assert study_spec(limits={"study_hours": 8, "trial_hours": 2}).hours == 8
    assert study_spec(limits={"study_hours": 8}, hours=8).hours == 8
    assert reread(study_spec(limits={"study_hours": 8})).hours == 8
    assert lab.tuner(overrides={"limits.study_hours": 4}).spec.hours == 4
    lab.define(limits={"study_hours": 8})
    assert lab.tuner(overrides={"hours": 4}).spec.hours == 4


def test_hours_that_contradict_the_earlier_name_are_refused(lab: Lab) -> None:
    with pytest.raises(StudyError, match=r"`hours` is 3 and `limits\.study_hours`, its earlier name, is 8; remove"):
        study_spec(limits={"study_hours": 8}, hours=3)
    with pytest.raises(StudyError, match="study_hours, hours: both name `hours`"):
        lab.tuner(overrides={"limits.study_hours": 4, "hours": 3})


def reread(spec: StudySpec) -> StudySpec:
    return parse_study(spec.as_given(), "again")


def test_what_is_left_of_the_hours_and_the_frames_is_counted_in_budgets_of_a_trial(storage_url: str) -> None:
    spec = study_spec(pruner={"kind": "promotion"})
    _, study, queue = open_queue(storage_url, 3, spec)
    frames = spec.budget.frames // 4
    trial = take(queue)
    assert queue.write(trial, {Attr.WORKED: [[0.0, 15.0, "cpu"]], Attr.FRAMES: frames})
    finish(queue, trial)
    session = Session(spec, queue, loop=None)  # type: ignore[arg-type]
    assert session._left() == math.inf
    study.set_user_attr(StudyAttr.DEADLINE, time.time() + 30)
    session.read_requests()
    assert session._left() == pytest.approx(0.5, abs=0.05)
    study.set_user_attr(StudyAttr.FRAMES, 2 * frames)
    session.read_requests()
    assert session._left() == pytest.approx(0.25)
