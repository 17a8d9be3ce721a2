"""What the parameters of a trial are in another search space: of another study, or of its own, changed since. Pure.

elsewhere: the settings that the trial did not search, by dotted key. constants: those of trials in the other space.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smart_tuner.spec.parameters import Search, contains, is_active, nearest_value, same, span

Settings = Mapping[str, Any]


def in_space(params: Settings, elsewhere: Settings, search: Search, constants: Settings) -> dict[str, Any] | None:
    """The parameters of `search` that the trial has; None where it lies outside.

    A parameter that the trial did not search is left out where its value is outside the range: of the others, the trial
    still tells something. Of a number that is searched no longer, every value is inside; of anything else, the same.
    """
    for key, value in {**elsewhere, **params}.items():
        if key not in search and not _is_number(value) and not same(value, constants.get(key)):
            return None
    found: dict[str, Any] = {}
    for key, parameter in search.items():
        if is_active(parameter, found):
            value = params[key] if key in params else elsewhere.get(key)
            if contains(parameter, value):
                found[key] = value
            elif key in params:
                return None
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Fitted:
    """A setting that a study can try, and in lines what of it had to change. It may lack parameters."""

    setting: Settings
    changes: tuple[str, ...]


def fitted(params: Settings, elsewhere: Settings, search: Search, constants: Settings) -> Fitted:
    """The setting of a trial as near as `search` has it: numbers are moved into their range, the rest is left out."""
    found: dict[str, Any] = {}
    changes: dict[str, str] = {}
    for key, parameter in search.items():
        if not is_active(parameter, found):
            if key in params:
                changes[key] = f"{key} = {params[key]!r} is left out: it has no effect here"
            continue
        value = params[key] if key in params else elsewhere.get(key)
        near = value if contains(parameter, value) else nearest_value(parameter, value)
        if near is None:
            changes[key] = f"{key} = {value!r} is left to the sampler: here it is {span(parameter)}"
            continue
        if not same(near, value):
            changes[key] = f"{key} = {value!r} becomes {near!r}: here it is {span(parameter)}"
        found[key] = near
    for key in params.keys() - search.keys():
        if not same(params[key], constants.get(key)):
            changes[key] = f"{key} = {params[key]!r} is left out: here it is {constants.get(key)!r} in all trials"
    return Fitted(found, tuple(changes[key] for key in sorted(changes)))
