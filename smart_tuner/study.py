"""A study in the store: opened or created, and the definition that it was submitted with."""

import difflib
import json
import uuid
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna

from smart_tuner.definition_changes import differences
from smart_tuner.earlier_versions import completed_definition, kept_defaults, present_defaults
from smart_tuner.errors import StudyError
from smart_tuner.formatting import counted
from smart_tuner.history import History, Unsearched
from smart_tuner.masking import masked
from smart_tuner.results import objective_of
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.spec.conditions import constants
from smart_tuner.spec.overrides import apply, as_typed
from smart_tuner.spec.parameters import contains
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.enqueued import KnownGood, Setting, enqueue_untried
from smart_tuner.store.optuna_internals import FIXED_PARAMS_KEY, study_id
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import no_study_in
from smart_tuner.workspace import anchor

_OFFERED = 8  # studies that an error names where there is none of the given name


def open_study(storage: RetryingStorage, spec: StudySpec) -> optuna.Study:
    """Open the study of this name, or create it. Raises StudyError as `changes_of`."""
    with _quiet_optuna():
        study = optuna.create_study(
            storage=storage,
            study_name=spec.name,
            direction=spec.objective.direction,
            pruner=optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
    definition = _definition(spec)
    known = study.user_attrs.get(StudyAttr.DEFINITION)
    if known is None:
        study.set_user_attr(StudyAttr.ID, uuid.uuid4().hex[:12])
        study.set_user_attr(StudyAttr.DEFAULTS, present_defaults())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([spec.objective.metric])  # dashboards label the axis with it
    else:
        _changes(study, spec)
        if (more := _unsearched_with(study, spec)) != unsearched(study):
            study.set_user_attr(StudyAttr.UNSEARCHED, more)
    if known != definition:
        study.set_user_attr(StudyAttr.DEFINITION, definition)
    return study


def new_known_good(storage: RetryingStorage, spec: StudySpec) -> list[Setting]:
    """The entries of `enqueue` that the stored definition lacks, of a study that has trials."""
    study = _stored(storage, spec.name)
    if study is None or not study.get_trials(deepcopy=False):
        return []
    definition = _definition(spec)
    known = KnownGood(definition["enqueue"], definition["search"])
    return known.untried(study.user_attrs[StudyAttr.DEFINITION].get("enqueue", []))


def enqueue_known_good(
    storage: RetryingStorage, study: optuna.Study, spec: StudySpec, new: Sequence[Setting], target: int
) -> list[str]:
    """Have those settings of `new` tried next that no trial of the study has had; lines on what was done."""
    if not new:
        return []
    known = KnownGood(new, list(spec.search))
    key = study_id(study)
    queued, begun = storage.transaction(lambda connection: enqueue_untried(connection, key, known))
    lines = [f"study {spec.name!r}: trial {n} tries {json.dumps(setting)} of `enqueue`" for n, setting in queued]
    if lines and begun > target:
        lines[-1] += f"; it has {counted(target, 'trial')}: more of them (--trials {begun}) reach that"
    return lines


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """No lines of Optuna below warnings inside the block; afterwards its logging is as the caller had it."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def with_stored_settings(storage: RetryingStorage, spec: StudySpec) -> StudySpec:
    """`spec`, but what it does not give as in the study of this name in the store, if there is one.

    So a study goes on with its own objective and settings when the defaults are others by now.
    """
    study = _stored(storage, spec.name)
    if study is None:
        return spec
    given = spec.as_given()
    metric = objective_of(study).metric
    if not spec.names_objective and metric != spec.objective.metric:
        given["objective"] = {"metric": metric}
    if kept := kept_defaults(given, _recorded_defaults(study)):
        given["fixed"] = {**given.get("fixed", {}), **kept}
    return spec if given == spec.as_given() else parse_study(given, f"study {spec.name!r}")


def newly_kept_defaults(storage: RetryingStorage, spec: StudySpec) -> dict[str, Any]:
    """The settings of `spec` that its stored definition does not give yet, as they were when the study was begun."""
    study = _stored(storage, spec.name)
    if study is None:
        return {}
    kept = kept_defaults(study.user_attrs[StudyAttr.DEFINITION], _recorded_defaults(study))
    return {key: value for key, value in kept.items() if spec.fixed.get(key) == value}


def _stored(storage: RetryingStorage, name: str) -> optuna.Study | None:
    """The study of this name, if there is one that this project has made."""
    if name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=name, storage=storage)
    return study if StudyAttr.DEFINITION in study.user_attrs else None


def _recorded_defaults(study: optuna.Study) -> Mapping[str, Any]:
    recorded: Mapping[str, Any] = study.user_attrs.get(StudyAttr.DEFAULTS, {})
    return recorded


def changes_of(storage: RetryingStorage, spec: StudySpec) -> Sequence[str]:
    """How `spec` changes the study of this name, in lines for people; none for a new study.

    Raises StudyError, with every difference, where its trials could not be compared with further ones.
    """
    study = _stored(storage, spec.name)
    if study is None:
        return ()
    changes = _changes(study, spec)
    return (*changes, *_outside(study, spec)) if changes else ()


def _changes(study: optuna.Study, spec: StudySpec) -> Sequence[str]:
    parameters = _parameters(study)
    if not parameters:
        return ()
    known = _known(study)
    before = study.user_attrs[StudyAttr.DEFINITION] if known is None else _definition(known)
    constants_before = {} if known is None else constants(known)
    found = differences(before, _definition(spec), (constants_before, constants(spec)), parameters)
    if found.refused:
        lines = "\n".join(f"  {line}" for line in found.refused)
        is_like = objective_of(study).metric == spec.objective.metric
        starts = f" With --warm-start {spec.name} it starts from what this one has found." if is_like else ""
        raise StudyError(
            f"study {spec.name!r} has trials of another definition, not comparable with new ones:\n{lines}\n"
            "Give the new study another name: --name beside --study FILE, or, to change the stored definition, beside "
            f"--study {spec.name}.{starts}"
        )
    return found.taken


def _outside(study: optuna.Study, spec: StudySpec) -> Iterator[str]:
    """A line where trials lie outside the new search space."""
    begun = [trial for trial in study.get_trials(deepcopy=False) if trial.params]
    inside = History(spec, _unsearched_with(study, spec)).shown(begun)
    if len(inside) < len(begun):
        of_all = f"{len(inside)} of {counted(len(begun), 'trial')}"
        yield f"{of_all} for its sampler to learn from: the others lie outside the new search space"


def _parameters(study: optuna.Study) -> Collection[str]:
    """What the trials of the study have searched."""
    return dict.fromkeys(key for trial in study.get_trials(deepcopy=False) for key in trial.params)


def _unsearched_with(study: optuna.Study, spec: StudySpec) -> Unsearched:
    """`unsearched` with what the trials so far had of settings that `spec` searches, or has otherwise."""
    recorded = unsearched(study)
    known = _known(study)
    if known is None:
        return recorded
    was, becomes = constants(known), constants(spec)
    values = {
        key: was[key]
        for key in dict.fromkeys((*spec.search, *_parameters(study)))
        if key not in known.search and (key in spec.search or was[key] != becomes[key])
    }
    return [*recorded, (len(study.get_trials(deepcopy=False)), values)] if values else recorded


def unsearched(study: optuna.Study) -> Unsearched:
    """Settings that trials of the study did not search, and that others do or have otherwise."""
    recorded: Unsearched = study.user_attrs.get(StudyAttr.UNSEARCHED, ())
    return recorded


def _definition(spec: StudySpec) -> dict[str, Any]:
    """In its stored form. The corpus is an absolute path, so that the working directory makes no difference."""
    return {**json.loads(spec.model_dump_json()), "corpus": anchor(spec.corpus)}


def _known(study: optuna.Study) -> StudySpec | None:
    """The stored definition with the keys that an older version did not write; None where it cannot be read."""
    known: dict[str, Any] = study.user_attrs[StudyAttr.DEFINITION]
    try:
        return parse_study(completed_definition(known, _recorded_defaults(study)), "the store")
    except StudyError:
        return None


def existing_study(storage: RetryingStorage, url: str, name: str) -> optuna.Study:
    """Raises StudyError, naming the existing studies, where the store at `url` has none of this name.

    Raises NoStudies where it has none at all.
    """
    names = optuna.get_all_study_names(storage)
    if not names:
        raise no_study_in(url)
    if name not in names:
        there = f"it holds {offered(name, names)}"
        raise StudyError(f"storage {masked(url)!r}: holds no study {name!r}; {there}. Name one with --study.")
    return optuna.load_study(study_name=name, storage=storage)


def offered(name: str, names: Sequence[str]) -> str:
    """The names in one text, those most similar to `name` first; of many, only these."""
    ranked = sorted(names, key=lambda known: difflib.SequenceMatcher(None, name, known).ratio(), reverse=True)
    more = f" and {len(names) - _OFFERED} more (`smart-tuner studies` lists them)" if len(names) > _OFFERED else ""
    return ", ".join(f"`{known}`" for known in ranked[:_OFFERED]) + more


def spec_of(
    study: optuna.Study, changes: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> StudySpec:
    """The definition that the study was submitted with. Raises StudyError where this version cannot read it.

    changes: dotted keys with new values, as for `--set`. options: those with a command line option of their own.
    A known-good setting of `enqueue` that a changed range excludes is left out, if all of `enqueue` was tried already.
    """
    name = study.study_name
    definition = study.user_attrs.get(StudyAttr.DEFINITION)
    if definition is None:
        raise StudyError(f"study {name!r} in the store was made by another program: it has no definition.")
    definition = completed_definition(definition, _recorded_defaults(study))
    where = f"study {name!r} in the store"
    try:
        spec = parse_study(definition, where)
    except StudyError as error:
        raise StudyError(
            f"{error}\nIt was submitted by another version; submit it again with `smart-tuner optimize`."
        ) from error
    if not changes and not options:
        return spec
    where += f", with {as_typed(changes or {}, options or {})}"
    changed = apply(definition, {**(changes or {}), **(options or {})})
    if "enqueue" not in (changes or {}) and _all_tried(study, changed):
        changed = _without_excluded(changed, where)
    return parse_study(changed, where)


def _all_tried(study: optuna.Study, definition: Mapping[str, Any]) -> bool:
    """Whether each entry of `enqueue` has a trial that has begun."""
    search = definition.get("search", {})
    if not isinstance(search, dict):  # which the validation reports
        return False
    known = KnownGood(definition.get("enqueue", []), search)
    begun = (trial for trial in study.get_trials(deepcopy=False) if trial.params)
    return not known.untried(trial.system_attrs.get(FIXED_PARAMS_KEY, {}) for trial in begun)


def _without_excluded(definition: dict[str, Any], where: str) -> dict[str, Any]:
    """The definition without entries of `enqueue` that its ranges exclude."""
    search = parse_study({**definition, "enqueue": []}, where).search
    left = [
        entry
        for entry in definition.get("enqueue", [])
        if all(contains(search[key], value) for key, value in entry.items() if key in search)
    ]
    return {**definition, "enqueue": left}
