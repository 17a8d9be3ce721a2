"""Compares the definition of a study's trials with a new one: which changes are accepted, which refused. Pure.

Definitions are compared in their stored form: JSON of a `StudySpec`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.config import flatten

# Trials of one study must agree in these, or they cannot be compared.
_COMPARED = ("corpus", "preset", "fixed", "budget", "objective", "constraints")
_SEPARATE = ("name", "description", "search", "enqueue")  # not shown, or compared in another way
# What cannot change of a parameter: Optuna refuses another kind of values under the same name.
_UNCHANGEABLE = ("type", "log", "choices")
_MISSING = object()


@dataclass(frozen=True)
class Differences:
    """Lines such as `optimizer.lr: 0.0005..0.008 -> 0.001..0.004`."""

    taken: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> Differences:
    """known: the definition of the existing trials; now: that of further ones."""
    searched = {f"fixed.{key}" for key in now["search"]}  # shown as changes of the search
    before = {key: value for key, value in _settings(known).items() if key not in searched}
    after = _settings(now)
    changed = {key: _line(key, before, after) for key in {**before, **after} if before.get(key) != after.get(key)}
    compared = [line for key, line in changed.items() if key.partition(".")[0] in _COMPARED]
    others = [line for key, line in changed.items() if key.partition(".")[0] not in _COMPARED]
    taken, unsearchable = _search(known.get("search", {}), now["search"])
    queue = _queue(known.get("enqueue", []), now["enqueue"], now["search"])
    return Differences((*taken, *others, *queue), (*compared, *unsearchable))


def _queue(known: Sequence[Any], now: Sequence[Any], search: Mapping[str, Any]) -> list[str]:
    """Lines of changed known-good settings."""
    if known == now:
        return []
    if [entry for entry in known if entry in now] != now:
        return ["enqueue: other known-good settings"]
    gone = [(index, entry) for index, entry in enumerate(known) if entry not in now]
    return [
        f"enqueue[{index}]: {_shown(entry)} -> left out"
        f"{', since it is outside the new range' if _is_outside(entry, search) else ''}"
        for index, entry in gone
    ]


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


def _search(known: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Lines of accepted changes, and of refused ones."""
    taken: list[str] = []
    refused: list[str] = []
    for key in {**known, **now}:
        if key not in known:
            taken.append(f"{key}: not searched -> {_range(now[key])}")
        elif key not in now:
            taken.append(f"{key}: {_range(known[key])} -> not searched")
        elif _range(known[key]) != _range(now[key]):
            line = f"{key}: {_range(known[key])} -> {_range(now[key])}"
            changeable = all(known[key].get(part) == now[key].get(part) for part in _UNCHANGEABLE)
            (taken if changeable else refused).append(line)
    return taken, refused


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
