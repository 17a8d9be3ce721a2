"""Mapping -> frozen dataclass, strictly: each key known, each value of the declared type.

Covers int, float, str, bool, Literal, unions and tuples of these, and nested dataclasses: all that the configurations
here use.
Standard library only, because the trainer has to start on machines that have little more than torch.
"""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from trainer.errors import ConfigError

T = TypeVar("T")
_SIMILAR = 0.6  # difflib's ratio, from which a name may be a mistyped one
_LISTED = 20


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "nearest: `x`" for the known name most similar to `name`, else "known: " and all names.

    Of more than `_LISTED` names, their number stands for them.
    """
    known = sorted(known)
    by_leaf = {candidate.rsplit(".", 1)[-1]: candidate for candidate in known}
    close = difflib.get_close_matches(name, known, n=1, cutoff=_SIMILAR)
    if not close:
        close = [
            by_leaf[leaf] for leaf in difflib.get_close_matches(name.rsplit(".", 1)[-1], by_leaf, n=1, cutoff=_SIMILAR)
        ]
    if close:
        return f"nearest: `{close[0]}`"
    if len(known) > _LISTED:
        return f"none of the {len(known)} known ones is like it"
    return "known: " + ", ".join(f"`{candidate}`" for candidate in known)


def parse(kind: type[T], raw: Mapping[str, Any], where: str, prefix: str = "") -> T:
    """Build `kind` from `raw`; missing keys take the dataclass's defaults.

    Raises ConfigError, which names `where` (a file), the dotted key, the value and the nearest known key.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: `{prefix.rstrip('.')}` must be a mapping, but got {raw!r}.")
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in raw:
        if key not in names:
            known = [prefix + name for name in names]
            raise ConfigError(f"{where}: `{prefix}{key}` is no known key; {nearest(f'{prefix}{key}', known)}.")
    values = {key: _value(hints[key], value, where, prefix + key) for key, value in raw.items()}
    for f in fields(kind):  # type: ignore[arg-type]
        if f.name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{where}: `{prefix}{f.name}` is missing.")
    return kind(**values)


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    if is_dataclass(hint):
        return parse(typing.cast(type, hint), value, where, key + ".")
    origin = get_origin(hint)
    if origin is Literal:
        if value not in get_args(hint):
            allowed = ", ".join(repr(a) for a in get_args(hint))
            raise ConfigError(f"{where}: `{key}` must be one of {allowed}, but got {value!r}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: `{key}` must be a list, but got {value!r}.")
        return tuple(_value(get_args(hint)[0], item, where, f"{key}[{i}]") for i, item in enumerate(value))
    if origin in (types.UnionType, typing.Union):
        if type(value) in get_args(hint):
            return value
        return _value(next(a for a in get_args(hint) if a is not type(None)), value, where, key)
    return _scalar(hint, value, where, key)


def _scalar(hint: type, value: Any, where: str, key: str) -> Any:
    if hint is float and type(value) is int:
        with suppress(OverflowError):
            return float(value)
    if type(value) is not hint:
        raise ConfigError(
            f"{where}: `{key}` must be of type {hint.__name__}, but got {value!r} ({type(value).__name__})."
        )
    return value
