"""Warm start: what a study takes from earlier ones of the same store, also of other corpora.

Their best settings are tried first, and by their curves some of the first trials go on at once. `sampler.warm_start`
names the studies. What it saves: docs/search.md.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import StudyError
from smart_tuner.figures import objective as figure_of
from smart_tuner.formatting import counted
from smart_tuner.pruning import Curve
from smart_tuner.results import feasible_of, objective_of
from smart_tuner.spec import CategoricalParameter, Search, StudySpec
from smart_tuner.spec.conditions import constants
from smart_tuner.spec.parameters import position, same
from smart_tuner.spec.translation import fitted
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.curves import curve_of
from smart_tuner.store.enqueued import SettingOfStudy, enqueue_once
from smart_tuner.store.optuna_internals import FIXED_PARAMS_KEY, study_id
from smart_tuner.store.replicates import is_replicate
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.study import offered, spec_of

TRIED = 3  # settings of all the studies together
NEAR = 0.05  # of a range: settings that differ by less in every parameter count as one


@dataclass(frozen=True)
class EarlierStudy:
    """Another study: its name, its definition, its trials."""

    name: str
    spec: StudySpec
    trials: Sequence[FrozenTrial]


@dataclass(frozen=True)
class Best:
    """A setting of another study in the search space of this one. changes: lines on what had to change for that."""

    source: EarlierStudy
    trial: FrozenTrial
    setting: Mapping[str, Any]
    changes: Sequence[str]


def sources_of(storage: RetryingStorage, spec: StudySpec) -> list[EarlierStudy]:
    """The studies that this one starts from, without those that have been deleted since."""
    return [source for name in dict.fromkeys(spec.sampler.warm_start) if (source := _source(storage, name)) is not None]


def earlier_curves(sources: Sequence[EarlierStudy], spec: StudySpec) -> list[Curve]:
    """Of trials that train as long as those of `spec`, and as large a model: others align sooner or later.

    Replicates are left out: they would show the best settings once more.
    """
    alike = [source for source in sources if (source.spec.budget, source.spec.preset) == (spec.budget, spec.preset)]
    searched = [trial for source in alike for trial in source.trials if not is_replicate(trial)]
    return [curve for trial in searched if (curve := curve_of(trial, spec.objective.figure))]


def refuse_unfit(storage: RetryingStorage, spec: StudySpec) -> None:
    """Raises StudyError, with every reason, where the study cannot start from one of the others.

    Those from which it has taken settings already are not checked again.
    """
    names = _not_taken(storage, spec)
    known = [name for name in optuna.get_all_study_names(storage) if name != spec.name] if names else []
    found = [f"  {name}: {fault}" for name in names for fault in _faults(storage, spec, name, known)]
    if found:
        raise StudyError(f"study {spec.name!r} cannot start from these studies (--warm-start):\n" + "\n".join(found))


def _not_taken(storage: RetryingStorage, spec: StudySpec) -> list[str]:
    taken: Mapping[str, Any] = {}
    if spec.name in optuna.get_all_study_names(storage):
        taken = optuna.load_study(study_name=spec.name, storage=storage).user_attrs.get(StudyAttr.WARM_START, {})
    return [name for name in dict.fromkeys(spec.sampler.warm_start) if name not in taken]


def _faults(storage: RetryingStorage, spec: StudySpec, name: str, known: Sequence[str]) -> Iterator[str]:
    if name == spec.name:
        yield "is the study itself, which goes on with its own trials anyway; leave it out."
        return
    if name not in known:
        there = f"it has {offered(name, known)}" if known else "it has no other"
        yield f"the store has no study of this name; {there}."
        return
    study = optuna.load_study(study_name=name, storage=storage)
    try:
        other = spec_of(study)
    except StudyError as error:
        yield str(error)
        return
    metric = objective_of(study).metric
    if metric != spec.objective.metric:
        yield (
            f"optimises {metric} ({figure_of(metric).words}), this study {spec.objective.metric} "
            f"({figure_of(spec.objective.metric).words}); give both the same `objective.metric`."
        )
    if not other.search.keys() & spec.search.keys():
        yield f"has no parameter in common with this study: it searches {', '.join(other.search) or 'nothing'}."
    trials = study.get_trials(deepcopy=False)
    complete = sum(trial.state is TrialState.COMPLETE for trial in trials)
    if not complete:
        yield f"has no complete trial yet, of {len(trials)}; run it first."
    elif not feasible_of(trials):
        yield f"has {counted(complete, 'complete trial')}, but no feasible one: there is no setting to take."


def _source(storage: RetryingStorage, name: str) -> EarlierStudy | None:
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        return EarlierStudy(name, spec_of(study), study.get_trials(deepcopy=False))
    except (KeyError, StudyError):
        return None


def enqueue_best(storage: RetryingStorage, study: optuna.Study, spec: StudySpec) -> list[str]:
    """Have the best settings of the studies tried next, once for each study; lines on what was done.

    Where this is interrupted, all of it is done or nothing.
    """
    names = _not_taken(storage, spec)
    sources = [source for name in names if (source := _source(storage, name)) is not None]
    if not sources:
        return []
    tried = [*spec.enqueue, *map(_setting_of, study.get_trials(deepcopy=False))]
    chosen = best_settings(sources, spec, tried)
    queued = [SettingOfStudy(best.source.name, _origin(best), dict(best.setting)) for best in chosen]
    key = study_id(study)
    numbers = storage.transaction(lambda connection: enqueue_once(connection, key, names, queued))
    lines = [line for best, number in zip(chosen, numbers, strict=False) for line in _lines(spec, best, number)]
    given = {best.source.name for best in chosen}
    without = [source.name for source in sources if source.name not in given]
    lines += [f"study {spec.name!r}: takes no setting of {name!r}, since it tries others like them" for name in without]
    return lines


def _setting_of(trial: FrozenTrial) -> Mapping[str, Any]:
    """Its parameters; of one that waits for its beginning, those that it was given."""
    given: Mapping[str, Any] = trial.system_attrs.get(FIXED_PARAMS_KEY, {})
    return trial.params or given


def _origin(best: Best) -> str:
    return f"trial {best.trial.number} of study {best.source.name!r}"


def _lines(spec: StudySpec, best: Best, number: int) -> Iterator[str]:
    figure = figure_of(spec.objective.metric)
    value = f"{figure.words} {figure.text(best.trial.value)}"
    yield f"study {spec.name!r}: trial {number} takes the setting of {_origin(best)} ({value})"
    yield from (f"  {change}" for change in best.changes)


def best_settings(
    sources: Sequence[EarlierStudy], spec: StudySpec, tried: Sequence[Mapping[str, Any]] = ()
) -> list[Best]:
    """The best one of each study, then the second of each, up to `TRIED` in all.

    One that is like another, or like one of `tried`, is passed over.
    """
    chosen: list[Best] = []
    known = list(tried)
    by_rank = zip_longest(*(_translated(source, spec) for source in sources))
    for best in itertools.chain.from_iterable(by_rank):
        if len(chosen) == TRIED:
            break
        if best is not None and not any(_are_near(best.setting, other, spec.search) for other in known):
            chosen.append(best)
            known.append(best.setting)
    return chosen


def _translated(source: EarlierStudy, spec: StudySpec) -> Iterator[Best]:
    there, here = constants(source.spec), constants(spec)
    for trial in feasible_of(source.trials):
        found = fitted(trial.params, there, spec.search, here)
        yield Best(source, trial, found.setting, found.changes)


def _are_near(one: Mapping[str, Any], other: Mapping[str, Any], search: Search) -> bool:
    if one.keys() != other.keys():
        return False
    for key, value in one.items():
        parameter = search[key]
        if isinstance(parameter, CategoricalParameter):
            if not same(value, other[key]):
                return False
        elif abs(position(parameter, value) - position(parameter, other[key])) > NEAR:
            return False
    return True
