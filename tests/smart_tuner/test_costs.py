"""What a trial cost: its time at work, its share of the budget and what pruning it spared."""

from datetime import datetime, timedelta

import pytest
from optuna.trial import TrialState, create_trial

from smart_tuner.spec.study import BudgetSpec
from smart_tuner.trial_costs import Cost, cost_of
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
    assert (cost.seconds, cost.share, cost.device, cost.measured) == (100, 0.25, "cuda", True)
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
    assert cost_of(trial, events, BUDGET) == Cost(100.0, 0.5, "cuda", measured=True)
    assert cost_of(trial, [], BUDGET) == Cost(90.0, 0.5, "", measured=True)
    trial.set_user_attr("cost.gpu_hours", 0.025)
    assert cost_of(trial, [], BUDGET) == Cost(90.0, 0.5, "cuda", measured=True)
