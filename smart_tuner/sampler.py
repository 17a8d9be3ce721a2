"""The sampler of a study: which values the next trial tries."""

import threading
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import PAUSED, shown_state
from smart_tuner.store.optuna_internals import ParameterGroups, StudyWithPaused, share_groups


def sampler_of(spec: StudySpec) -> optuna.samplers.BaseSampler:
    """The sampler that the study defines. Thread-safe."""
    sampler = _sampler(spec, None) if spec.sampler.seed is None else SamplerPerTrial(spec)
    return LearnsFromPaused(sampler) if spec.pruner.kind == "promotion" else sampler


def _sampler(spec: StudySpec, seed: int | None) -> optuna.samplers.BaseSampler:
    if spec.sampler.kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=spec.sampler.startup_trials,
            multivariate=True,
            group=True,  # parameters that occur together are modelled together
            constant_liar=True,  # trials that run at the same time get distant values
        )


class LearnsFromPaused(optuna.samplers.BaseSampler):
    """Shows another sampler the trials that have paused as pruned ones, so that it learns from their last reports."""

    def __init__(self, sampler: optuna.samplers.BaseSampler) -> None:
        self._sampler = sampler

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(_with_paused(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(_with_paused(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(_with_paused(study), trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()


def _with_paused(study: optuna.Study) -> optuna.Study:
    return StudyWithPaused(study, lambda trial: shown_state(trial) == PAUSED)


class SamplerPerTrial(optuna.samplers.BaseSampler):
    """Makes a sampler for each trial, seeded by the study's seed and the trial's number. Thread-safe.

    So neither a continued study nor several workers of one study draw the same point twice.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._groups = ParameterGroups()
        self._samplers: dict[int, optuna.samplers.BaseSampler] = {}
        self._lock = threading.Lock()  # making a sampler changes the process's warning filters

    def _of(self, trial: FrozenTrial) -> optuna.samplers.BaseSampler:
        with self._lock:
            if trial.number not in self._samplers:
                seed = zlib.crc32(f"{self._spec.sampler.seed}/{trial.number}".encode())
                self._samplers[trial.number] = sampler = _sampler(self._spec, seed)
                if isinstance(sampler, optuna.samplers.TPESampler):
                    share_groups(sampler, self._groups)
            return self._samplers[trial.number]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        with self._lock:
            self._samplers.pop(trial.number, None)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)
