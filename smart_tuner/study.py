"""A study in the store: opened or created, and the definition that it was submitted with."""

import difflib
import json
import uuid
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from smart_tuner.errors import StudyError
from smart_tuner.masking import masked
from smart_tuner.sampler import sampler_of
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.workspace import anchor

# Trials of one study must agree in these, or they cannot be compared. What is searched and how may change, but for
# the choices of a categorical parameter, which Optuna's store cannot change.
_COMPARED = ("corpus", "preset", "fixed", "budget", "objective", "constraints")
_OFFERED = 8  # studies that are named where another was meant


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
        there = f"it holds {_offered(name, names)}" if names else "it holds none yet"
        raise StudyError(f"storage {masked(url)!r}: holds no study {name!r}; {there}. Name one with --study.")
    return optuna.load_study(study_name=name, storage=storage)


def _offered(name: str, names: Sequence[str]) -> str:
    """The names most like `name` first; of many, those alone."""
    ranked = sorted(names, key=lambda known: difflib.SequenceMatcher(None, name, known).ratio(), reverse=True)
    more = f" and {len(names) - _OFFERED} more (`smart-tuner studies` lists them)" if len(names) > _OFFERED else ""
    return ", ".join(f"`{known}`" for known in ranked[:_OFFERED]) + more


def spec_of(study: optuna.Study) -> StudySpec:
    """The definition that the study was submitted with. Raises StudyError where this version cannot read it."""
    try:
        return parse_study(study.user_attrs[StudyAttr.DEFINITION], f"study {study.study_name!r} in the store")
    except StudyError as error:
        raise StudyError(
            f"{error}\nIt was submitted by another version; submit it again with `smart-tuner optimize`."
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
