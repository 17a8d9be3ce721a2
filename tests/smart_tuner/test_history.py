"""Which trials a sampler learns from, where the search space of a study has changed since they began."""

import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from lab import STUDY, open_queue, study_spec
from optuna.samplers import BaseSampler, TPESampler
from queues import finish, take

from smart_tuner.distributions import distribution_of
from smart_tuner.history import MOST, History
from smart_tuner.sampler import LearnsFrom, sampler_of
from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec
from smart_tuner.spec.conditions import constants
from smart_tuner.store.attributes import Attr
from smart_tuner.store.storage import open_storage
from smart_tuner.study import changes_of, open_study, unsearched

LR: dict[str, Any] = {"type": "float", "low": 5e-4, "high": 5e-3, "log": True}
GUIDED = STUDY["search"]["guided_attention.enabled"]


def spec_with(**search: Any) -> StudySpec:
    """search: parameters by name, with _ for the dot."""
    named = {key.replace("__", "."): value for key, value in search.items()}
    return study_spec(search=named, enqueue=[], sampler={"seed": 1, "startup_trials": 4})


def shown(study: optuna.Study, spec: StudySpec) -> list[dict[str, Any]]:
    trials = History(spec, unsearched(study)).shown(study.get_trials(deepcopy=False))
    assert all(
        trial.distributions == {key: distribution_of(spec.search[key]) for key in trial.params} for trial in trials
    )
    return [trial.params for trial in trials]


@pytest.fixture
def study(storage_url: str) -> optuna.Study:
    """Five trials of different learning rates."""
    before = spec_with(optimizer__lr=LR)
    _, study, queue = open_queue(storage_url, 9, before)
    for lr in (6e-4, 1e-3, 2e-3, 3e-3, 4e-3):
        study.enqueue_trial({"optimizer.lr": lr})
        trial = take(queue)
        suggest(trial, before.search)
        finish(queue, trial, lr)
    return study


def reopened(storage_url: str, spec: StudySpec) -> optuna.Study:
    return open_study(open_storage(storage_url), spec)


def test_trials_outside_a_narrower_range_are_not_seen(study: optuna.Study, storage_url: str) -> None:
    narrower = spec_with(optimizer__lr=LR | {"low": 1e-3, "high": 3e-3})
    assert changes_of(open_storage(storage_url), narrower) == (
        "optimizer.lr: 0.0005..0.005 (log) -> 0.001..0.003 (log)",
        "3 of 5 trials for its sampler to learn from: the others lie outside the new search space",
    )
    assert [params["optimizer.lr"] for params in shown(reopened(storage_url, narrower), narrower)] == [1e-3, 2e-3, 3e-3]


def test_a_new_parameter_has_the_value_that_all_trials_had(study: optuna.Study, storage_url: str) -> None:
    wider = spec_with(optimizer__lr=LR, model__reduction={"type": "int", "low": 2, "high": 5})
    default = constants(spec_with(optimizer__lr=LR))["model.reduction"]
    assert [params["model.reduction"] for params in shown(reopened(storage_url, wider), wider)] == [default] * 5


def test_a_parameter_that_was_frozen_for_a_while_keeps_the_values_of_each_time(
    study: optuna.Study, storage_url: str
) -> None:
    frozen = study_spec(search={"guided_attention.enabled": GUIDED}, fixed={"optimizer.lr": 2e-3}, enqueue=[])
    again = reopened(storage_url, frozen)
    assert [set(params) for params in shown(again, frozen)] == [{"guided_attention.enabled"}] * 5
    _, again, queue = open_queue(storage_url, 9, frozen)
    trial = take(queue)
    suggest(trial, frozen.search)
    finish(queue, trial)
    both = spec_with(optimizer__lr=LR, guided_attention__enabled=GUIDED)
    learning_rates = [params["optimizer.lr"] for params in shown(reopened(storage_url, both), both)]
    assert learning_rates == [6e-4, 1e-3, 2e-3, 3e-3, 4e-3, 2e-3]


def _optunas_default(spec: StudySpec) -> BaseSampler:
    return TPESampler(seed=1, n_startup_trials=4)


@pytest.mark.parametrize("sampler", [sampler_of, _optunas_default])
def test_a_wider_range_is_searched_in_whole(
    study: optuna.Study, storage_url: str, sampler: Callable[[StudySpec], BaseSampler]
) -> None:
    """Alone, Optuna's TPE with groups of parameters keeps to the ranges of the first trials."""
    wider = spec_with(optimizer__lr=LR | {"high": 5e-2})
    _, again, queue = open_queue(storage_url, 25, wider)
    again.sampler = LearnsFrom(History(wider, unsearched(again)), sampler(wider))
    drawn = []
    for _ in range(16):
        trial = take(queue)
        drawn.append(suggest(trial, wider.search)["optimizer.lr"])
        finish(queue, trial, -drawn[-1])  # the higher, the better
    assert max(drawn) > 2e-2


@pytest.mark.parametrize("sampler", [sampler_of, _optunas_default])
def test_a_narrower_range_is_kept_to(
    study: optuna.Study, storage_url: str, sampler: Callable[[StudySpec], BaseSampler]
) -> None:
    narrower = spec_with(optimizer__lr=LR | {"low": 1e-3, "high": 3e-3})
    _, again, queue = open_queue(storage_url, 15, narrower)
    again.sampler = LearnsFrom(History(narrower, unsearched(again)), sampler(narrower))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(6):
            trial = take(queue)
            assert 1e-3 <= suggest(trial, narrower.search)["optimizer.lr"] <= 3e-3
            finish(queue, trial)


def test_of_many_trials_the_best_and_the_newest_are_seen() -> None:
    spec = spec_with(optimizer__lr=LR)
    trials = [ended(spec, number, value=abs(number - 300), feasible=number != 300) for number in range(2_000)]
    seen = [trial.number for trial in History(spec).shown(trials)]
    best = [*range(275, 300), *range(301, 326)]  # 300 itself is not feasible
    assert seen == [*best, *range(1_050, 2_000)]
    assert len(seen) == MOST
    assert [trial.number for trial in History(spec).shown(trials[:MOST])] == [*range(MOST)]


def test_the_best_trial_may_be_a_new_one() -> None:
    spec = spec_with(optimizer__lr=LR)
    trials = [ended(spec, number, value=-number, feasible=number > 5) for number in range(1_500)]
    seen = [trial.number for trial in History(spec).shown(trials)]
    assert seen == [*range(550, 1_500)]


def ended(spec: StudySpec, number: int, value: float, feasible: bool) -> optuna.trial.FrozenTrial:
    trial = optuna.trial.create_trial(
        params={"optimizer.lr": 1e-3},
        distributions={"optimizer.lr": distribution_of(spec.search["optimizer.lr"])},
        value=value,
        user_attrs={Attr.FEASIBLE: feasible},
    )
    trial.number = number
    return trial
