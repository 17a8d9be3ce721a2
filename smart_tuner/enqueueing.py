"""A trial that a person asks for: it waits in the queue of a study, and a free worker runs it next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from smart_tuner.errors import StudyError
from smart_tuner.spec import StudySpec
from smart_tuner.spec.checks import setting_problems
from smart_tuner.spec.conditions import constants
from smart_tuner.spec.parameters import is_active, same
from smart_tuner.store.enqueued import Raised, enqueue_and_raise
from smart_tuner.store.optuna_internals import study_id
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.strict_yaml import read_mapping
from trainer.config import EFFECTIVE_WHEN, NOT_SEARCHABLE, PRESETS, field_types, preset_settings, suggest_key
from trainer.dotted import flatten
from trainer.strict import nearest

A_PERSON = "a person"  # the origin of such a trial


@dataclass(frozen=True)
class Enqueued:
    """raised: how the study's number of trials was raised; None: it has as many as before."""

    number: int
    setting: Mapping[str, Any]
    raised: Raised | None


def enqueue(
    storage: RetryingStorage,
    study: optuna.Study,
    spec: StudySpec,
    setting: Mapping[str, Any],
    like: int | Mapping[str, Any] | None = None,
) -> Enqueued:
    """Add a trial with these parameters; the sampler chooses those that are not given.

    like: the number of a trial whose other parameters it takes, or these themselves. A study that has all its trials
    gets one more, and goes on with those that a lower target had left out. Raises StudyError where the study cannot
    have such a trial.
    """
    trials = study.get_trials(deepcopy=False)
    setting = _completed(spec, setting, _params_of(spec, trials, like) if isinstance(like, int) else like or {})
    key = study_id(study)
    number, raised = storage.transaction(lambda connection: enqueue_and_raise(connection, key, A_PERSON, setting))
    return Enqueued(number, setting, raised)


def setting_of_file(file: Path, spec: StudySpec) -> dict[str, Any]:
    """The parameters of the study in a file: of `smart-tuner best`, of a report's recipe, or written by hand.

    Keys are dotted or nested. A file that names its `preset`, as a recipe does, has the preset's values, too. Raises
    StudyError for a file that cannot be read, an unknown key or preset, and settings that trials of this study have
    otherwise, also those of another preset.
    """
    raw = read_mapping(file, StudyError)
    given = flatten(raw["params"] if isinstance(raw.get("params"), dict) else raw)
    if unknown := sorted(given.keys() - field_types().keys()):
        lines = [f"{file}: `{key}` is no known setting of the trainer; {suggest_key(key)}." for key in unknown]
        raise StudyError("\n".join(lines))
    if "preset" in given and given["preset"] not in PRESETS:
        raise StudyError(f"{file}: `preset` must be a known preset ({nearest(str(given['preset']), PRESETS)}).")
    values = {**preset_settings(given["preset"]), **given} if "preset" in given else given
    _refuse_others(file, spec, given if given.get("preset") == spec.preset else values)
    return {key: value for key, value in values.items() if key in spec.search}


_NAMED = 3  # settings that an error names


def _refuse_others(file: Path, spec: StudySpec, values: Mapping[str, Any]) -> None:
    """Raises StudyError where `values` has settings which all trials of the study have otherwise."""
    here = constants(spec)
    others = [
        f"`{key}` = {value!r} (its trials have {here[key]!r})"
        for key, value in values.items()
        if key not in spec.search
        and not key.startswith(NOT_SEARCHABLE)
        and not same(value, here[key])
        and _matters(key, values)
    ]
    if not others:
        return
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    of_another = values.get("preset", spec.preset) != spec.preset
    presets = f" The file is of preset {values['preset']!r}, the study of {spec.preset!r}." if of_another else ""
    named = ", ".join(others[:_NAMED])
    raise StudyError(f"{file}: study {spec.name!r} does not search {named}{more}; remove that, or search it.{presets}")


def _matters(key: str, values: Mapping[str, Any]) -> bool:
    """False for a setting that has no effect beside another one of `values`."""
    needs = EFFECTIVE_WHEN.get(key)
    return needs is None or needs.key not in values or needs.test(values[needs.key])


def _params_of(spec: StudySpec, trials: Sequence[FrozenTrial], number: int) -> Mapping[str, Any]:
    if not (0 <= number < len(trials) and trials[number].params):
        raise StudyError(f"study {spec.name!r}: has no trial {number} that has begun.")
    return trials[number].params


def _completed(spec: StudySpec, setting: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """`setting`, with those of `others` that have an effect beside it."""
    taken = {**others, **setting}
    if not taken:
        raise StudyError("a trial to enqueue needs a parameter: --set KEY=VALUE, --like TRIAL, or --file FILE.")
    kept = {key: value for key, value in taken.items() if key in setting or _has_effect(spec, key, taken)}
    if found := list(setting_problems(spec, kept)):
        raise StudyError("\n".join(f"study {spec.name!r}: {line}" for line in found))
    return {key: kept[key] for key in spec.search if key in kept}


def _has_effect(spec: StudySpec, key: str, params: Mapping[str, Any]) -> bool:
    """Also False for a parameter that is no longer searched."""
    return key in spec.search and is_active(spec.search[key], params)
