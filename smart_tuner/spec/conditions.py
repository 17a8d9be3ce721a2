"""Which parameters depend on which others: `when` clauses, and settings that would have no effect.

A parameter that has no effect in some trials misleads the sampler, which learns from its values there. The trainer
knows which setting depends on which (`trainer.config.EFFECTIVE_WHEN`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from smart_tuner.spec.parameters import Parameter, contains, extremes, same, span
from trainer.config import EFFECTIVE_WHEN, PRESETS, Needs, TrainerConfig
from trainer.dotted import flatten
from trainer.strict import nearest

if TYPE_CHECKING:
    from smart_tuner.spec.study import StudySpec


def problems(study: "StudySpec") -> Iterator[str]:
    """A sentence for each `when` that cannot be met and each setting that has no effect."""
    found = [line for key, parameter in study.search.items() for line in _clauses(study, key, parameter)]
    if found:
        yield from found
        return
    for key, needs in EFFECTIVE_WHEN.items():
        if key in study.search:
            yield from _inert_parameter(study, key, needs)
        elif key in study.fixed:
            yield from _inert_setting(study, key, needs)


def as_text(when: Mapping[str, tuple[Any, ...]]) -> str:
    """{"a": (True,), "b": (1, 2)} -> "`a` = True and `b` = 1 or 2"."""
    return " and ".join(f"`{key}` = {' or '.join(map(repr, values))}" for key, values in when.items())


def _clauses(study: "StudySpec", key: str, parameter: Parameter) -> Iterator[str]:
    names = list(study.search)
    earlier = names[: names.index(key)]
    for parent, allowed in parameter.when.items():
        place = f"search.{key}.when.{parent}"
        if parent not in names:
            yield f"`{place}` is no parameter of `search`; {nearest(parent, names)}."
        elif parent not in earlier:
            yield f"`{place}` must be listed before `{key}` in `search`, so that no parameter depends on itself."
        else:
            for value in allowed:
                if not contains(study.search[parent], value):
                    yield f"`{place}` must be {span(study.search[parent])}, but got {value!r}."


def _inert_parameter(study: "StudySpec", key: str, needs: Needs) -> Iterator[str]:
    if needs.key not in study.search:
        value = constant(study, needs.key)
        if not needs.test(value):
            yield (
                f"`search.{key}` has no effect, since `{needs.key}` is {value!r} in all trials; "
                f"remove it, or give `{needs.key}` {needs.requirement} in `fixed` or `search`."
            )
        return
    possible = _possible(study, needs.key, study.search[key].when.get(needs.key))
    idle = [value for value in possible if not needs.test(value)]
    if idle:
        good = [value for value in extremes(study.search[needs.key]) if needs.test(value)]
        yield (
            f"`search.{key}` has no effect in trials where `{needs.key}` is {' or '.join(map(_yaml, idle))}; "
            f"add `when: {{{needs.key}: {_yaml(good[0]) if len(good) == 1 else _yaml(good)}}}` to it."
            if good
            else f"`search.{key}` has no effect: `{needs.key}` would have to be {needs.requirement}."
        )


def _inert_setting(study: "StudySpec", key: str, needs: Needs) -> Iterator[str]:
    """A fixed setting may have no effect in some trials, which leave it out, but not in all."""
    possible = _possible(study, needs.key, None) if needs.key in study.search else [constant(study, needs.key)]
    if not any(needs.test(value) for value in possible) and study.fixed[key] != _DEFAULTS[key]:
        yield (
            f"`fixed.{key}` = {study.fixed[key]!r} has no effect, since `{needs.key}` is "
            f"{' or '.join(map(_yaml, possible))}; remove it, or let `{needs.key}` be {needs.requirement}."
        )


def _possible(study: "StudySpec", parent: str, allowed: tuple[Any, ...] | None) -> list[Any]:
    """The values of `parent` in trials with a parameter whose `when` is `allowed` for it. None: any value."""
    if allowed is not None:
        return [value for value in extremes(study.search[parent]) if any(same(value, a) for a in allowed)]
    without = [constant(study, parent)] if study.search[parent].when else []  # where `parent` does not exist itself
    return [*extremes(study.search[parent]), *without]


def constant(study: "StudySpec", key: str) -> Any:
    """The value of a setting in trials that do not search it: the fixed one, else the preset's, else the default."""
    return constants(study)[key]


def constants(study: "StudySpec") -> Mapping[str, Any]:
    """The settings that trials have which do not search them, by dotted key."""
    return {**_DEFAULTS, **flatten(PRESETS[study.preset]), **study.fixed}


_DEFAULTS: Mapping[str, Any] = flatten(asdict(TrainerConfig()))


def _yaml(value: Any) -> str:
    """A value as in a study's YAML."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
