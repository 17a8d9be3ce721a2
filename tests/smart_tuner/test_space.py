from typing import Any

import optuna
import pytest

from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.spec.parameters import contains
from trainer.config import DeviceConfig, PathsConfig


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def study_of(search: dict[str, Any]) -> StudySpec:
    raw = {"name": "s", "corpus": "demo:en", "preset": "tiny", "budget": {"frames": 1000}, "search": search}
    return parse_study(raw, "s.yaml")


SEARCH: dict[str, Any] = {
    "optimizer.lr": {"type": "float", "low": 5e-4, "high": 5e-3, "log": True},
    "model.attention_dropout": {"type": "float", "low": 0, "high": 0.3, "step": 0.1},
    "model.decoder_dropout": {"type": "float", "low": 0.2, "high": 0.4, "step": 0.1},
    "batch.size": {"type": "int", "low": 8, "high": 32, "step": 4},
    "model.reduction": {"type": "int", "low": 2, "high": 5},
    "schedule.kind": {"type": "categorical", "choices": ["constant", "cosine", "exponential"]},
    "schedule.final_factor": {
        "type": "float",
        "low": 0.1,
        "high": 1,
        "when": {"schedule.kind": ["cosine", "exponential"]},
    },
    "guided_attention.enabled": {"type": "categorical", "choices": [True, False]},
    "guided_attention.weight": {"type": "float", "low": 0.01, "high": 1, "when": {"guided_attention.enabled": True}},
    "guided_attention.sigma": {
        "type": "float",
        "low": 0.1,
        "high": 0.5,
        "when": {"guided_attention.enabled": True, "schedule.kind": "cosine"},
    },
}


def test_suggestions_are_in_the_space_and_meet_conditions() -> None:
    study = study_of(SEARCH)
    store = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(60):
        trial = store.ask()
        params = suggest(trial, study.search)
        assert params == trial.params
        assert all(contains(study.search[key], value) for key, value in params.items())
        assert ("schedule.final_factor" in params) == (params["schedule.kind"] != "constant")
        assert ("guided_attention.weight" in params) == params["guided_attention.enabled"]
        assert ("guided_attention.sigma" in params) == (
            params["guided_attention.enabled"] and params["schedule.kind"] == "cosine"
        )
        study.trainer_config(params, seed=1, paths=PathsConfig(), device=DeviceConfig())
        seen.add((params["schedule.kind"], params["guided_attention.enabled"]))
    assert len(seen) == 6


def test_a_parameter_whose_parent_does_not_exist_does_not_exist() -> None:
    search = {
        "schedule.kind": {"type": "categorical", "choices": ["constant", "cosine"]},
        "schedule.final_factor": {"type": "float", "low": 0.1, "high": 1, "when": {"schedule.kind": "cosine"}},
        "schedule.warmup_updates": {"type": "int", "low": 0, "high": 9, "when": {"schedule.final_factor": [0.1, 1]}},
    }
    study = study_of(search)
    assert suggest(optuna.trial.FixedTrial({"schedule.kind": "constant"}), study.search) == {
        "schedule.kind": "constant"
    }
    params = {"schedule.kind": "cosine", "schedule.final_factor": 1.0, "schedule.warmup_updates": 3}
    assert suggest(optuna.trial.FixedTrial(params), study.search) == params


def test_a_second_call_suggests_the_same_values() -> None:
    study = study_of(SEARCH)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
    assert suggest(trial, study.search) == suggest(trial, study.search)


def test_queued_values_are_suggested() -> None:
    study = study_of(SEARCH)
    entry = {"optimizer.lr": 2e-3, "batch.size": 16, "guided_attention.enabled": False, "schedule.kind": "constant"}
    store = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    store.enqueue_trial(entry)
    assert entry.items() <= suggest(store.ask(), study.search).items()


@pytest.mark.parametrize(
    "key",
    [
        "optimizer.lr",
        "model.attention_dropout",
        "model.decoder_dropout",
        "batch.size",
        "model.reduction",
        "schedule.kind",
    ],
)
@pytest.mark.parametrize(
    "value", [5e-4, 5e-3, 0.0, 0.1, 0.3, 0.2 + 0.1, 0.25, 0.31, -1, 2, 5, 6, 8, 10, 32, 33, "cosine", "x"]
)
def test_values_that_may_be_queued_are_those_that_optuna_accepts(key: str, value: Any) -> None:
    study = study_of(SEARCH)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
    suggest(trial, study.search)
    distribution = trial.distributions[key]
    try:
        taken = distribution._contains(distribution.to_internal_repr(value))
    except ValueError:
        taken = False
    assert contains(study.search[key], value) == taken


@pytest.mark.parametrize("kind", ["random", "tpe"])
@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.2, 0.4, 0.1), (0.2, 0.3, 0.1), (0.1, 0.7, 0.2), (0.05, 0.95, 0.01)]
)
def test_every_value_that_optuna_makes_of_a_step_is_accepted(kind: str, low: float, high: float, step: float) -> None:
    study = study_of({"model.decoder_dropout": {"type": "float", "low": low, "high": high, "step": step}})
    random = optuna.samplers.RandomSampler(seed=1)
    sampler = random if kind == "random" else optuna.samplers.TPESampler(seed=1, n_startup_trials=2)
    store = optuna.create_study(sampler=sampler)
    for _ in range(12):
        trial = store.ask()
        params = suggest(trial, study.search)
        config = study.trainer_config(params, seed=1, paths=PathsConfig(), device=DeviceConfig())
        assert config.model.decoder_dropout == params["model.decoder_dropout"]
        store.tell(trial, 1.0)


def test_a_condition_on_a_step_holds_for_the_value_that_optuna_makes_of_it() -> None:
    search = {
        "model.decoder_dropout": {"type": "float", "low": 0.2, "high": 0.4, "step": 0.1},
        "model.attention_dropout": {"type": "float", "low": 0, "high": 0.3, "when": {"model.decoder_dropout": 0.3}},
    }
    params = {"model.decoder_dropout": 0.2 + 0.1, "model.attention_dropout": 0.2}
    assert suggest(optuna.trial.FixedTrial(params), study_of(search).search) == params
