"""The sampler of a study: which values the next trial tries."""

import threading
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.history import History
from smart_tuner.spec import StudySpec
from smart_tuner.store.optuna_internals import ParameterGroups, StudyAsShown, share_groups


def sampler_of(spec: StudySpec, history: History | None = None) -> optuna.samplers.BaseSampler:
    """The sampler that the study defines. Thread-safe.

    history: the trials that it learns from; None: those of the study as they are stored.
    """
    sampler = _sampler(spec, None) if spec.sampler.seed is None else SamplerPerTrial(spec)
    return sampler if history is None else LearnsFrom(history, sampler)


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


class LearnsFrom(optuna.samplers.BaseSampler):
    """Shows another sampler the trials of a history in place of the stored ones."""

    def __init__(self, history: History, sampler: optuna.samplers.BaseSampler) -> None:
        self._history = history
        self._sampler = sampler

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(self._shown(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(self._shown(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(self._shown(study), trial, param_name, param_distribution)

    def _shown(self, study: optuna.Study) -> optuna.Study:
        return StudyAsShown(study, self._history.shown)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()


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
