"""A trial that a person asks for: it waits in the queue of a study, and a free worker runs it next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from smart_tuner.errors import StudyError
from smart_tuner.spec import StudySpec
from smart_tuner.spec.checks import setting_problems
from smart_tuner.spec.parameters import is_active
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.control import read_control
from smart_tuner.store.optuna_internals import FIXED_PARAMS_KEY, storage_of, study_id


@dataclass(frozen=True)
class Enqueued:
    """target: what the study's number of trials was raised to; None: it has as many as before."""

    number: int
    setting: Mapping[str, Any]
    target: int | None


def enqueue(study: optuna.Study, spec: StudySpec, setting: Mapping[str, Any], like: int | None) -> Enqueued:
    """Add a trial with these parameters; the sampler chooses those that are not given.

    like: a trial whose other parameters it takes. A study that has all its trials gets one more. Raises StudyError
    where the study cannot have such a trial, or its own known-good settings have not begun yet.
    """
    trials = study.get_trials(deepcopy=False)
    setting = _completed(spec, trials, setting, like)
    if sum(bool(trial.params) for trial in trials) < len(spec.enqueue):
        raise StudyError(
            f"study {spec.name!r}: its own known-good settings (`enqueue`) come first, and have not all begun; try "
            "again then, or add this one to them."
        )
    # As Optuna's `enqueue_trial`, which does not return the number.
    template = optuna.trial.create_trial(
        state=optuna.trial.TrialState.WAITING, system_attrs={FIXED_PARAMS_KEY: setting}
    )
    storage = storage_of(study)
    number = storage.get_trial(storage.create_new_trial(study_id(study), template)).number
    if number < read_control(study).target:
        return Enqueued(number, setting, None)
    target = max(number + 1, read_control(study).target)  # another one may have been raised meanwhile
    study.set_user_attr(StudyAttr.TARGET, target)
    return Enqueued(number, setting, target)


def _completed(
    spec: StudySpec, trials: Sequence[FrozenTrial], setting: Mapping[str, Any], like: int | None
) -> dict[str, Any]:
    """`setting`, with the parameters of trial `like` that have an effect beside it."""
    if like is not None and not (0 <= like < len(trials) and trials[like].params):
        raise StudyError(f"study {spec.name!r}: has no trial {like} that has begun.")
    taken = {**(trials[like].params if like is not None else {}), **setting}
    if not taken:
        raise StudyError("a trial to enqueue needs a parameter: --set KEY=VALUE, or --like TRIAL.")
    kept = {key: value for key, value in taken.items() if key in setting or _has_effect(spec, key, taken)}
    if found := list(setting_problems(spec, kept)):
        raise StudyError("\n".join(f"study {spec.name!r}: {line}" for line in found))
    return {key: kept[key] for key in spec.search if key in kept}


def _has_effect(spec: StudySpec, key: str, params: Mapping[str, Any]) -> bool:
    """Also False for a parameter that is no longer searched."""
    return key in spec.search and is_active(spec.search[key], params)
