"""Compares the definition of a study's trials with a new one: which changes are accepted, which refused. Pure.

Definitions are compared in their stored form: JSON of a `StudySpec`. Ranges may become narrower or wider; parameters
may be added to the search, taken out of it, and given another value then. What all trials of a study have in common may
not change, nor what Optuna cannot change of a parameter.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.dotted import flatten

# Trials of one study must agree in these, or they cannot be compared.
_COMPARED = ("corpus", "preset", "fixed", "budget", "objective", "constraints")
_SEPARATE = ("name", "description", "search", "enqueue")  # not shown, or compared in another way
# What cannot change of a parameter: Optuna refuses another kind of values under the same name.
_UNCHANGEABLE = ("type", "log", "choices")
_MISSING = object()

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Differences:
    """Lines such as `optimizer.lr: 0.0005..0.008 -> 0.001..0.004`."""

    taken: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def differences(
    known: Mapping[str, Any],
    now: Mapping[str, Any],
    constants: tuple[Settings, Settings] = ({}, {}),
    searched_before: Collection[str] = (),
) -> Differences:
    """known: the definition of the existing trials; now: that of further ones.

    constants: for each of the two, the settings that trials have which do not search them, by dotted key.
    searched_before: the parameters that any trial has.
    """
    parameters = dict.fromkeys((*known.get("search", {}), *now["search"], *searched_before))
    searched = {f"fixed.{key}" for key in parameters}  # shown as changes of the search
    before, after = (
        {key: value for key, value in _settings(definition).items() if key not in searched}
        for definition in (known, now)
    )
    changed = {key: _line(key, before, after) for key in {**before, **after} if before.get(key) != after.get(key)}
    compared = [line for key, line in changed.items() if key.partition(".")[0] in _COMPARED]
    others = [line for key, line in changed.items() if key.partition(".")[0] not in _COMPARED]
    taken, unsearchable = _search(parameters, known.get("search", {}), now["search"], *constants)
    left = [{key: value for key, value in entry.items() if key in now["search"]} for entry in known.get("enqueue", [])]
    queue = _queue(left, now["enqueue"], now["search"])
    return Differences((*taken, *others, *queue), (*compared, *unsearchable))


def _queue(known: Sequence[Any], now: Sequence[Any], search: Mapping[str, Any]) -> list[str]:
    """Lines of changed known-good settings."""
    gone = [
        f"enqueue[{index}]: {_shown(entry)} -> left out"
        f"{', since it is outside the new range' if _is_outside(entry, search) else ''}"
        for index, entry in _without(known, now)
    ]
    added = [f"enqueue[{index}]: {_shown(_MISSING)} -> {_shown(entry)}" for index, entry in _without(now, known)]
    return [*gone, *added] or ([] if known == now else ["enqueue: the same settings in another order"])


def _without(entries: Sequence[Any], others: Sequence[Any]) -> list[tuple[int, Any]]:
    """The entries that are not among the others, equal ones as often as there are more of them, each with its index."""
    left = list(others)
    found = []
    for index, entry in enumerate(entries):
        if entry in left:
            left.remove(entry)
        else:
            found.append((index, entry))
    return found


def _is_outside(entry: Mapping[str, Any], search: Mapping[str, Any]) -> bool:
    ranges = {key: parameter for key, parameter in search.items() if "low" in parameter and key in entry}
    return any(not each["low"] <= entry[key] <= each["high"] for key, each in ranges.items())


def _settings(definition: Mapping[str, Any]) -> dict[str, Any]:
    return flatten({key: value for key, value in definition.items() if key not in _SEPARATE})


def _line(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return f"{key}: {_shown(before.get(key, _MISSING))} -> {_shown(after.get(key, _MISSING))}"


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _search(
    parameters: Iterable[str], known: Mapping[str, Any], now: Mapping[str, Any], before: Settings, after: Settings
) -> tuple[list[str], list[str]]:
    """Lines of accepted changes, and of refused ones. before, after: the constants of both."""
    taken: list[str] = []
    refused: list[str] = []
    for key in parameters:
        was = _range(known[key]) if key in known else _always(key, before)
        becomes = _range(now[key]) if key in now else _always(key, after)
        if was != becomes:
            in_both = key in known and key in now
            changeable = not in_both or all(known[key].get(part) == now[key].get(part) for part in _UNCHANGEABLE)
            (taken if changeable else refused).append(f"{key}: {was} -> {becomes}")
    return taken, refused


def _always(key: str, constants: Settings) -> str:
    return f"always {_shown(constants[key])}" if key in constants else "not searched"


def _range(parameter: Mapping[str, Any]) -> str:
    return " ".join(_range_parts(parameter))


def _range_parts(parameter: Mapping[str, Any]) -> Iterator[str]:
    if parameter["type"] == "categorical":
        yield "one of " + ", ".join(map(_shown, parameter["choices"]))
    else:
        yield f"{parameter['low']:.10g}..{parameter['high']:.10g}"
    if parameter["type"] == "int":
        yield "(whole numbers)"
    if parameter.get("log"):
        yield "(log)"
    if parameter.get("step"):
        yield f"in steps of {parameter['step']:.10g}"
    if parameter.get("when"):
        yield "when " + " and ".join(f"{key} = {_either(values)}" for key, values in parameter["when"].items())


def _either(values: Any) -> str:
    return " or ".join(map(_shown, values))
