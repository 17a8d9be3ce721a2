"""What a trial cost: its time at work, its share of the budget and what pruning it spared."""

import json
import math
from datetime import datetime, timedelta

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from smart_tuner.run.record import Record, spent_on
from smart_tuner.spec.study import BudgetSpec
from smart_tuner.store.attributes import COST_GPU_HOURS, COST_SECONDS, Attr
from smart_tuner.trial_costs import Cost, budgets_left, cost_of
from smart_tuner.working_time import stored_spans
from trainer.objectives import OBJECTIVES, VALIDATION_LOSS
from trainer.protocol import Event, EventKind

BUDGET = BudgetSpec(frames=1000, reports=8)
NEW = create_trial(state=TrialState.RUNNING)


def event(kind: EventKind, time: float, frames: int, **data: object) -> Event:
    return Event(kind, frames, frames // 10, data, time)


def test_the_wait_between_two_starts_costs_nothing() -> None:
    events = [
        event(EventKind.STARTED, 100, 0, config={}, device="cuda:0"),
        event(EventKind.VALIDATION, 160, 500),
        event(EventKind.STARTED, 9000, 500, config={}, device="cuda:0"),
        event(EventKind.STOPPED, 9040, 1000),
    ]
    cost = cost_of(NEW, events, BudgetSpec(frames=4000, reports=8))
    assert cost is not None
    assert (cost.seconds_by_device, cost.share, cost.measured) == ({"cuda": 100}, 0.25, True)
    assert cost.spared == pytest.approx(300)  # three quarters more at the same pace


def test_a_trial_that_trained_all_of_its_budget_or_nothing_spared_nothing() -> None:
    whole = cost_of(NEW, [event(EventKind.STARTED, 0, 0), event(EventKind.FINISHED, 60, 1010)], BUDGET)
    nothing = cost_of(NEW, [event(EventKind.STARTED, 0, 0), event(EventKind.FAILED, 60, 0)], BUDGET)
    assert whole is not None
    assert nothing is not None
    assert (whole.share, whole.spared) == (1.0, 0.0)
    assert (nothing.seconds, nothing.spared) == (60, 0.0)
    assert cost_of(NEW, [], BUDGET) is None


def test_the_cost_of_a_trial_of_another_machine_comes_from_the_store() -> None:
    trial = create_trial(state=TrialState.PRUNED, value=1.0, intermediate_values={1: 2.0, 2: 1.0})
    trial.datetime_start = datetime(2026, 1, 1)
    trial.datetime_complete = trial.datetime_start + timedelta(hours=1)
    cost = cost_of(trial, [], BUDGET)
    assert cost is not None
    assert (cost.seconds, cost.share, cost.measured) == (3600, 0.25, False)
    trial.datetime_complete = None
    assert cost_of(trial, [], BUDGET) is None


def test_a_record_of_the_first_attempt_does_not_hide_a_later_one_on_another_machine() -> None:
    events = [event(EventKind.STARTED, 100, 0, device="cuda:0"), event(EventKind.STOPPED, 160, 250)]
    worked = {"worked": [[100.0, 150.0], [9000.0, 9040.0]]}
    trial = create_trial(state=TrialState.PRUNED, value=1.0, intermediate_values={4: 2.0}, user_attrs=worked)
    assert cost_of(trial, events, BUDGET) == Cost({"cuda": 60.0, "": 40.0}, 0.5, measured=True)
    assert cost_of(trial, [], BUDGET) == Cost({"": 90.0}, 0.5, measured=True)
    trial.set_user_attr("cost.gpu_hours", 0.025)
    assert cost_of(trial, [], BUDGET) == Cost({"cuda": 90.0}, 0.5, measured=True), (
        "an earlier version stored one device"
    )


def test_each_attempt_counts_on_its_own_device() -> None:
    """Of three attempts, the first one was on another machine, and this one has no record of it."""
    worked = [[10.0, 40.0, "cuda"]]
    record = Record(OBJECTIVES[VALIDATION_LOSS], frozenset(), set(), {}, {}, worked=stored_spans(worked_before(worked)))
    for one in (
        event(EventKind.STARTED, 100, 0, device="cpu"),
        event(EventKind.STOPPED, 160, 250),
        event(EventKind.STARTED, 9000, 250, device="cuda:1"),
        event(EventKind.STOPPED, 9006, 500),
    ):
        record.take(one)
    attrs = spent_on(record)
    assert (attrs[COST_SECONDS], attrs[COST_GPU_HOURS]) == (96, 0.01)
    stored = json.loads(json.dumps(attrs[Attr.WORKED]))
    assert stored == [*worked, [100, 160, "cpu"], [9000, 9006, "cuda"]]
    assert cost_of(worked_before(stored), [], BUDGET) == Cost({"cuda": 36, "cpu": 60}, 0.0, measured=True)


def worked_before(spans: list[list[object]]) -> FrozenTrial:
    return create_trial(state=TrialState.WAITING, user_attrs={Attr.WORKED: spans})


def test_the_budgets_left_are_those_of_one_more_trial_at_the_pace_of_the_newest_that_have_stopped() -> None:
    def trial(seconds: float, frames: int, **attributes: object) -> FrozenTrial:
        worked = {"worked": [[100.0, 100.0 + seconds, "cpu"]], "frames": frames, **attributes}
        return create_trial(state=TrialState.WAITING, user_attrs=worked)

    earlier = [trial(1.0, 250, paused={})] * 30
    newest = [trial(10.0, 250, paused={})] * 20
    at_work = [trial(10.0, 900)] * 30  # its time is that up to its last stop, its frames are those of the last report
    trials = [*earlier, *newest, *at_work, NEW]
    assert budgets_left(trials, BUDGET, seconds=60, frames=math.inf) == pytest.approx(1.5)
    assert budgets_left(trials, BUDGET, seconds=60, frames=2000) == 1.0  # two trials share them
    assert budgets_left(trials, BUDGET, seconds=math.inf, frames=2000) == 1.0
    assert budgets_left([NEW, *at_work], BUDGET, seconds=60, frames=math.inf) == math.inf
