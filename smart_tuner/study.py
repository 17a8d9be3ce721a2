"""A study in the store: opened or created, its sampler, its best trial, the curves of its trials."""

import copy
import json
import threading
import uuid
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace, _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import StudyError
from smart_tuner.masking import masked
from smart_tuner.pruning import Curve, Point
from smart_tuner.run.preparation import anchor
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.retrying import RetryingStorage
from trainer.strict import nearest

# Trials of one study must agree in these, or they cannot be compared. What is searched and how may change, but for
# the choices of a categorical parameter, which Optuna's store cannot change.
_COMPARED = ("corpus", "preset", "fixed", "budget", "objective", "constraints")
_TEACHING = (TrialState.COMPLETE, TrialState.PRUNED)  # those that TPE learns from


def open_study(storage: RetryingStorage, spec: StudySpec) -> optuna.Study:
    """Open the study of this name, or create it. Raises StudyError where it exists with another definition."""
    study = optuna.create_study(
        storage=storage,
        study_name=spec.name,
        direction=spec.objective.direction,
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    study.sampler = sampler_of(spec)
    definition = json.loads(spec.model_dump_json())
    definition["corpus"] = anchor(spec.corpus)  # the same folder is the same corpus, from wherever it is named
    known = study.user_attrs.get(StudyAttr.DEFINITION)
    if known is None:
        study.set_user_attr(StudyAttr.ID, uuid.uuid4().hex[:12])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([spec.objective.metric])  # what dashboards write on the axis
    elif any(trial.params for trial in study.get_trials(deepcopy=False)):
        _refuse_other_definition(spec.name, known, definition)
    if known != definition:
        study.set_user_attr(StudyAttr.DEFINITION, definition)
    return study


def existing_study(storage: RetryingStorage, url: str, name: str) -> optuna.Study:
    """Raises StudyError, naming the studies that there are, where the store at `url` holds none of this name."""
    names = optuna.get_all_study_names(storage)
    if name not in names:
        there = nearest(name, names) if names else "it holds none yet"
        raise StudyError(f"{masked(url)}: holds no study {name!r}; {there}. Name another one with --study or --name.")
    return optuna.load_study(study_name=name, storage=storage)


def spec_of(study: optuna.Study) -> StudySpec:
    """The definition that the study was filed with. Raises StudyError where this version cannot read it."""
    try:
        return parse_study(study.user_attrs[StudyAttr.DEFINITION], f"study {study.study_name!r} in the store")
    except StudyError as error:
        raise StudyError(
            f"{error}\nIt was filed by another version; file it again with `smart-tuner optimize`."
        ) from error


def _refuse_other_definition(name: str, known: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in _COMPARED:
        if known.get(key) != now[key]:
            raise StudyError(
                f"study {name!r} exists with `{key}` = {json.dumps(known.get(key))}, but is now to run with "
                f"{json.dumps(now[key])}; trials that differ in it cannot be compared. "
                "Give the new study another name with --name."
            )
    for key, parameter in now["search"].items():
        before = known.get("search", {}).get(key, {})
        if "choices" in before and before["choices"] != parameter.get("choices"):
            raise StudyError(
                f"study {name!r} exists with `search.{key}.choices` = {json.dumps(before['choices'])}, which cannot "
                "change within a study. Give the new study another name with --name."
            )


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


def curve(trial: FrozenTrial) -> Curve:
    """What a trial has reported, as the pruner wants it."""
    alignment = trial.user_attrs.get(Attr.ALIGNMENT, {})
    return {
        index: Point(index, loss, alignment[str(index)])
        for index, loss in trial.intermediate_values.items()
        if str(index) in alignment
    }


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The feasible COMPLETE trial of least loss, or None where no trial is feasible."""
    return next(iter(feasible_trials(study)), None)


def feasible_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The feasible COMPLETE trials, that of least loss first."""
    return feasible_of(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def feasible_of(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The same, of these trials."""
    feasible = (t for t in trials if t.state is TrialState.COMPLETE and t.user_attrs[Attr.FEASIBLE])
    return sorted(feasible, key=lambda t: (t.value, t.number))


def nearest_trial(study: optuna.Study) -> FrozenTrial | None:
    """Where none is feasible: the finished trial whose alignment came closest."""
    scored = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and Attr.METRICS in t.user_attrs]
    return max(scored, key=lambda t: t.user_attrs[Attr.METRICS].get("alignment", 0.0), default=None)
