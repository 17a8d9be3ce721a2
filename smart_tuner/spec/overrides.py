"""`--set key=value`: changes a study's raw YAML before it is validated, as if it had been written that way.

The key is a dotted key of the study. Under `fixed` and `search`, a trainer setting with its dots is one key:
`search.optimizer.lr.high` is `high` of `optimizer.lr`. `fixed.` may be left out: `text.language` is that of all trials.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from smart_tuner.errors import StudyError
from smart_tuner.spec.parameters import CategoricalParameter, IntParameter, same
from smart_tuner.spec.study import RENAMED_KEYS, StudySpec
from smart_tuner.strict_yaml import parse_value
from trainer.config import RENAMED, field_types, suggest_key
from trainer.dotted import flatten
from trainer.strict import nearest


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """["trials=3"] -> {"trials": 3}; values are YAML. Raises StudyError for a text without `=` and for invalid YAML."""
    overrides: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise StudyError(f"--set {text}: must be KEY=VALUE, such as budget.frames=100000.")
        try:
            overrides[key.strip()] = parse_value(value)
        except ValueError as error:
            raise StudyError(f"--set {text}: the value is no valid YAML: {error}.") from error
    return overrides


def as_typed(overrides: Iterable[str], options: Iterable[str]) -> str:
    """The changed keys as on the command line: ["budget.frames"], ["name"] -> "--set budget.frames, --name".

    options: keys that have an option of their own.
    """
    listed = ", ".join(overrides)
    return ", ".join([*([f"--set {listed}"] if listed else []), *map(_option, options)])


def _option(key: str) -> str:
    return f"--{key.rpartition('.')[2].replace('_', '-')}"


def apply(raw: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A changed copy of `raw`. A setting that an override fixes is no longer searched, and the other way round.

    Raises StudyError, with `--set` and the nearest known key, for an unknown key.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(raw))
    overrides = _by_present_names(overrides)
    for key, value in overrides.items():
        _drop_earlier_name(changed, key)
        path = _path(key)
        if path[0] == "fixed" and len(path) > 1:
            if isinstance(changed.get("fixed"), Mapping):
                changed["fixed"] = flatten(changed["fixed"])
            _stop_searching(changed, path[1], value)
        if path[0] == "search" and len(path) > 2 and path[1] not in (changed.get("search") or {}):
            raise StudyError(
                f"--set {key}: the study does not search `{path[1]}`; {nearest(path[1], changed.get('search') or {})}."
            )
        if path[0] == "search" and len(path) == 2 and f"fixed.{path[1]}" not in overrides:
            _stop_fixing(changed, path[1])
        _put(changed, path, value, key)
    if changed.get("corpus") != raw.get("corpus") and "description" not in overrides:
        changed.pop("description", None)  # it describes the other corpus
    return changed


def _by_present_names(overrides: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    names: dict[str, str] = {}  # as they were given
    for name, value in overrides.items():
        key = _with_fixed(RENAMED_KEYS.get(name, name))
        if key in found and not same(value, found[key]):
            raise StudyError(f"--set {names[key]}, {name}: both name `{key}`, with different values; give one of them.")
        found[key] = value
        names[key] = name
    return found


def _drop_earlier_name(changed: dict[str, Any], key: str) -> None:
    """The definition may give the key, which is to have another value, by its name of an earlier version."""
    for earlier, present in RENAMED_KEYS.items():
        group, _, leaf = earlier.partition(".")
        if key == present and isinstance(changed.get(group), dict):
            changed[group].pop(leaf, None)


def _put(changed: dict[str, Any], path: tuple[str, ...], value: Any, key: str) -> None:
    place = changed
    for part in path[:-1]:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise StudyError(f"--set {key}: `{part}` must be a mapping in this study, but is {place!r}.")
    place[path[-1]] = value


def _with_fixed(key: str) -> str:
    """A key of the study stays; a setting of the trainer gets `fixed.`, also one that is misspelled in its section."""
    group = key.partition(".")[0] + "."
    known = _keys(StudySpec)
    if key in known or any(name.startswith(group) for name in known):
        return key
    of_trainer = key in field_types() or any(name.startswith(group) for name in field_types())
    return f"fixed.{key}" if of_trainer else key


def _path(key: str) -> tuple[str, ...]:
    top, _, rest = key.partition(".")
    if top == "fixed" and rest:
        rest = RENAMED.get(rest, rest)
        if rest not in field_types():
            raise StudyError(f"--set {key}: `{rest}` is no known setting of the trainer; {suggest_key(rest)}.")
        return top, rest
    if top == "search" and rest:
        return top, *_parameter_path(key, rest)
    known = _keys(StudySpec)
    if key not in known:
        raise StudyError(f"--set {key}: is no known key of a study; {nearest(key, known)}.")
    return tuple(key.split("."))


def _parameter_path(key: str, rest: str) -> tuple[str, ...]:
    """`optimizer.lr.high` -> ("optimizer.lr", "high"); the longest known setting wins."""
    name = max((known for known in field_types() if f"{rest}.".startswith(f"{known}.")), key=len, default="")
    if not name:
        raise StudyError(f"--set {key}: `{rest}` names no known setting of the trainer; {suggest_key(rest)}.")
    leaf, _, parent = rest[len(name) + 1 :].partition(".")
    if not leaf:
        return (name,)
    known = [*CategoricalParameter.model_fields, *IntParameter.model_fields]
    if leaf not in known or (parent and leaf != "when"):
        raise StudyError(f"--set {key}: `{leaf}` is no key of a parameter; {nearest(leaf, set(known))}.")
    return (name, leaf, parent) if parent else (name, leaf)


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """The dotted names of all keys of a study, including groups, without those under `fixed` and `search`."""
    found = set()
    for name, field in model.model_fields.items():
        found.add(prefix + name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _keys(kind, f"{prefix}{name}.")
    return found


def _stop_fixing(changed: dict[str, Any], key: str) -> None:
    if isinstance(changed.get("fixed"), Mapping):
        changed["fixed"] = {name: value for name, value in flatten(changed["fixed"]).items() if name != key}


def _stop_searching(changed: dict[str, Any], key: str, value: Any) -> None:
    """Remove `key`, which has one value now, from the search and the queue, and parameters whose condition then fails.

    A malformed study is left as it is; the validation reports it.
    """
    search = changed.get("search")
    if not isinstance(search, dict) or search.pop(key, None) is None:
        return
    gone = {key}
    for name, parameter in list(search.items()):
        when = parameter.get("when") if isinstance(parameter, dict) else None
        if not isinstance(when, dict) or not gone & when.keys():
            continue
        allowed = when.pop(key, value)
        values = allowed if isinstance(allowed, list) else [allowed]
        if gone & when.keys() or not any(same(value, each) for each in values):
            gone.add(name)
            del search[name]
    queue = changed.get("enqueue")
    if isinstance(queue, list) and all(isinstance(entry, dict) for entry in queue):
        left = [{name: queued for name, queued in entry.items() if name not in gone} for entry in queue]
        changed["enqueue"] = [entry for entry in left if entry]
