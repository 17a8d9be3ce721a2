"""The sampler of a study: which values the next trial tries."""

import copy
import threading
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace, _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.spec import StudySpec

_TEACHING = (TrialState.COMPLETE, TrialState.PRUNED)  # those that TPE learns from


def sampler_of(spec: StudySpec) -> optuna.samplers.BaseSampler:
    """Thread-safe."""
    return _sampler(spec, None) if spec.sampler.seed is None else SeededPerTrial(spec)


def _sampler(spec: StudySpec, seed: int | None) -> optuna.samplers.BaseSampler:
    if spec.sampler.kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=spec.sampler.startup_trials,
            multivariate=True,
            group=True,  # conditional parameters are modelled apart
            constant_liar=True,  # trials that run at the same time keep their distance
        )


class Groups(_GroupDecomposedSearchSpace):
    """Which parameters occur together. Optuna adds all trials again for each one that it samples; here, each once.

    A trial that was added before changes nothing. Thread-safe, so that many samplers share it.
    """

    def __init__(self) -> None:
        super().__init__(include_pruned=True)
        self._added: set[int] = set()
        self._lock = threading.Lock()

    def calculate(self, study: optuna.Study, use_cache: bool = False) -> _SearchSpaceGroup:
        with self._lock:
            for trial in study._get_trials(deepcopy=False, states=_TEACHING, use_cache=use_cache):
                if trial.number not in self._added:
                    self._search_space.add_distributions(trial.distributions)
                    self._added.add(trial.number)
            return copy.deepcopy(self._search_space)


class SeededPerTrial(optuna.samplers.BaseSampler):
    """A sampler anew for each trial, seeded by the study's seed and the trial's number.

    So neither a study that is continued nor workers that share one draw a point twice. Thread-safe.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._groups = Groups()
        self._samplers: dict[int, optuna.samplers.BaseSampler] = {}
        self._lock = threading.Lock()  # making one touches the process's warning filters

    def _of(self, trial: FrozenTrial) -> optuna.samplers.BaseSampler:
        with self._lock:
            if trial.number not in self._samplers:
                seed = zlib.crc32(f"{self._spec.sampler.seed}/{trial.number}".encode())
                self._samplers[trial.number] = sampler = _sampler(self._spec, seed)
                if isinstance(sampler, optuna.samplers.TPESampler):
                    sampler._group_decomposed_search_space = self._groups
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
