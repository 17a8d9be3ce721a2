"""Checks of a study beyond its form: the trainer knows and accepts its settings, its ranges can be searched.

Each check yields sentences with the key, the value and how to fix it; `problems` collects them. The trainer's own
parser checks values, so that each rule exists only once. Conditions (`when`, settings without effect):
`smart_tuner.spec.conditions`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from smart_tuner.spec import conditions
from smart_tuner.spec.parameters import CategoricalParameter, Parameter, contains, is_active, on_grid, same, span
from trainer.config import NOT_SEARCHABLE, PRESETS, TrainerConfig, check_ranges, field_types, shapes_model
from trainer.dotted import merge, unflatten
from trainer.errors import ConfigError
from trainer.strict import nearest, parse

if TYPE_CHECKING:
    from smart_tuner.spec.study import StudySpec

_OWNED = {
    "preset": "give it as `preset`, at the top of the study",
    "seed": "each trial gets its own; the seed of the sampler is `sampler.seed`",
    "corpus.source": "give it as `corpus`, at the top of the study",
    "budget.": "give it under `budget`, at the top of the study",
    "validation.alignment_floor": "give it as `constraints.alignment.at_least`",
    "validation.best_by": "it follows `objective.metric`",
    "paths.": "each trial gets its own",
    "device.name": "the installation decides it: `device` in config/local.yaml",
    "device.threads": "the installation decides it, by the number of trials at a time",
}


def problems(study: "StudySpec") -> list[str]:
    """Every problem of `study`, in the order of its file; empty where it can be run."""
    found = [*_empty_search(study), *_fixed(study), *_objective(study), *_pruner(study)]
    base = study.base() if not found else _alone(study)  # the search is not checked with invalid settings
    for key, parameter in study.search.items():
        found += [*_searchable(study, key), *(_range(key, parameter) or _values(key, parameter, base))]
    if found:
        return found  # conditions and queued trials cannot be checked with an invalid search
    return [*conditions.problems(study)] or [*_enqueued(study)]


def _empty_search(study: "StudySpec") -> Iterator[str]:
    if not study.search and study.trials != 1:
        yield (
            f"`search` names no parameter, so that all {study.trials} trials were the same; name at least one, or set "
            "`trials` to 1, to train one setting."
        )


def refusal(values: Mapping[str, Any], key: str, place: str) -> str | None:
    """Why the trainer refuses `values` (dotted keys); None: it accepts them. place: shown in place of `key`."""
    raw = unflatten(values)
    try:
        config = parse(TrainerConfig, merge(PRESETS[values["preset"]], raw), "")
        check_ranges(config, "")
    except ConfigError as error:
        text = str(error).removeprefix(": ")
        own = f"`{key}` "
        return f"`{place}` {text.removeprefix(own)}" if text.startswith(own) else f"`{place}`: {text}"
    return None


def _fixed(study: "StudySpec") -> Iterator[str]:
    if study.preset == "voice" and not (study.fixed.get("warm_start") or study.fixed.get("continue_from")):
        yield "`preset` = voice needs `fixed.warm_start`, the voice to start from; give it, or name another preset."
        return
    for key, value in study.fixed.items():
        fix = next((fix for owned, fix in _OWNED.items() if _within(key, owned)), None)
        if fix:
            yield f"`fixed.{key}` = {value!r} is not for `fixed`: {fix}."
    together = refusal(study.base(), "", "fixed")
    if together:  # checked one at a time, they show which one is wrong; some are right only together
        single = [
            refusal({**_alone(study), key: value}, key, f"fixed.{key}")
            for key, value in study.fixed.items()
            if not any(_within(key, owned) for owned in _OWNED)
        ]
        yield from [text for text in single if text] or [together]


def _alone(study: "StudySpec") -> dict[str, Any]:
    """What a single setting is checked with: the preset, and a voice where that needs one."""
    return {"preset": study.preset, "warm_start": "voice.pt" if study.preset == "voice" else ""}


def _within(key: str, owned: str) -> bool:
    return key.startswith(owned) if owned.endswith(".") else key == owned


def _objective(study: "StudySpec") -> Iterator[str]:
    objective = study.objective.figure
    if conditions.constant(study, "validation.free_running_utterances"):
        return
    unmeasured = [f"`objective.metric` = {objective.metric}"] if objective.is_heard else []
    unmeasured += [
        f"`constraints.{name}`"
        for name in ("free_running_alignment", "failed")
        if getattr(study.constraints, name) is not None and not objective.is_heard
    ]
    for what in unmeasured:
        yield (
            "`fixed.validation.free_running_utterances` = 0 lets no trial speak without a teacher, which "
            f"{what} needs; remove it, or let the objective be validation_loss without such constraints."
        )


def _pruner(study: "StudySpec") -> Iterator[str]:
    pruner = study.pruner
    reports = study.budget.reports
    if pruner.kind == "none":
        return
    if pruner.kind == "promotion":
        if not pruner.rungs or all(math.ceil(share * reports - 1e-9) >= reports for share in pruner.rungs):
            yield (
                f"`pruner.kind` promotion needs a rung with a report before the end: `pruner.rungs` is "
                f"{list(pruner.rungs)}, and `budget.reports` {reports}."
            )
        return
    if pruner.alignment_deadline.fraction < pruner.grace_fraction:
        yield (
            f"`pruner.alignment_deadline.fraction` must not be less than `pruner.grace_fraction` "
            f"({pruner.grace_fraction:g}), but got {pruner.alignment_deadline.fraction:g}."
        )
    if pruner.patience > reports:
        yield (
            f"`pruner.patience` must not exceed `budget.reports` ({reports}), or nothing is ever pruned, "
            f"but got {pruner.patience}; raise `budget.reports`, or set `pruner.kind` to none."
        )


def _searchable(study: "StudySpec", key: str) -> Iterator[str]:
    """Problems of searching `key` in this study."""
    if any(_within(key, barred) for barred in NOT_SEARCHABLE):
        yield f"`search.{key}` must not be searched: trials that differ in it cannot be compared; give it one value."
    begins_with = next((name for name in ("warm_start", "continue_from") if study.fixed.get(name)), None)
    if begins_with and shapes_model(key):
        yield (
            f"`search.{key}` must not be searched beside `fixed.{begins_with}`, since it changes the shape of weights; "
            "give it the voice's value in `fixed`, or let `preset` be voice."
        )
    if key in study.fixed:
        yield f"`search.{key}` is also in `fixed` (= {study.fixed[key]!r}); remove one of the two."


def _range(key: str, parameter: Parameter) -> list[str]:
    """Problems of the range alone."""
    place = f"search.{key}"
    if isinstance(parameter, CategoricalParameter):
        return [*_choices(place, key, parameter)]
    low, high, step = parameter.low, parameter.high, parameter.step
    if low > high:
        return [f"`{place}`: low ({low!r}) is greater than high ({high!r})."]
    if low == high:
        return [f"`{place}` has one value only (low = high = {low!r}); use `fixed`: `{key}: {low!r}`."]
    if parameter.log and low <= 0:
        return [f"`{place}.low` must be greater than 0 with `log: true`, but got {low!r}."]
    if parameter.log and step is not None:
        return [f"`{place}` has both `step` ({step!r}) and `log: true`, which exclude each other; remove one of them."]
    if step is not None and step > high - low and not on_grid(low, high, step):  # 0.3 - 0.2 is less than 0.1
        return [f"`{place}.step` must not exceed the range ({high - low:g}), but got {step!r}."]
    if step is not None and not on_grid(low, high, step):
        return [
            f"`{place}.high` ({high!r}) is not a whole number of steps ({step!r}) above `low` ({low!r}); "
            f"the nearest that are: {_around(low, high, step)}."
        ]
    return []


def _around(low: float, high: float, step: float) -> str:
    """The two values on the grid of `low` and `step` between which `high` lies, as a person writes them."""
    below = math.floor((high - low) / step)
    return " and ".join(f"{low + steps * step:.10g}" for steps in (below, below + 1))


def _choices(place: str, key: str, parameter: CategoricalParameter) -> Iterator[str]:
    choices = parameter.choices
    if not choices:
        yield f"`{place}.choices` must list at least two values, but got none."
    elif len(choices) == 1:
        yield f"`{place}.choices` has one value only ({choices[0]!r}); use `fixed`: `{key}: {choices[0]!r}`."
    for index, choice in enumerate(choices):
        if any(same(choice, earlier) for earlier in choices[:index]):
            yield f"`{place}.choices` must differ from each other, but got {choice!r} twice."


def _values(key: str, parameter: Parameter, base: Mapping[str, Any]) -> list[str]:
    """Problems of the values that a trial may get, as the trainer reports them."""
    declared = field_types()[key]
    fitting = {float: ("float", "int"), int: ("int",)}.get(declared, ())
    if not isinstance(parameter, CategoricalParameter) and parameter.type not in fitting:
        use = fitting[0] if fitting else "categorical"
        return [f"`search.{key}.type` must be {use}, or categorical with `choices`, but got {parameter.type!r}."]
    found = [refusal({**base, key: value}, key, f"search.{key}.{name}") for name, value in _samples(parameter)]
    return [text for text in found if text]


def _samples(parameter: Parameter) -> Iterator[tuple[str, Any]]:
    """(key of the parameter, value): each choice; or both bounds, and the first step for rules like "must be odd"."""
    if isinstance(parameter, CategoricalParameter):
        yield from (("choices", choice) for choice in parameter.choices)
        return
    yield from (("low", parameter.low), ("high", parameter.high))
    if parameter.type == "int" and parameter.low + (parameter.step or 1) < parameter.high:
        yield "step", parameter.low + (parameter.step or 1)


def _enqueued(study: "StudySpec") -> Iterator[str]:
    for index, entry in enumerate(study.enqueue):
        place = f"enqueue[{index}]"
        if not entry:
            yield f"`{place}` must name at least one parameter of `search`, but got {{}}."
        yield from setting_problems(study, entry, f"{place}.", "; `--set enqueue=[]` leaves out all such settings.")


def setting_problems(
    study: "StudySpec", entry: Mapping[str, Any], place: str = "", outside: str = "."
) -> Iterator[str]:
    """Why a trial cannot have these parameters. place: of the keys; outside: the end of a sentence on a range."""
    for key, value in entry.items():
        if key not in study.search:
            yield f"`{place}{key}` is no key of `search`; {nearest(key, study.search)}."
        elif not contains(study.search[key], value):
            yield f"`{place}{key}` must be {span(study.search[key])}, but got {value!r}{outside}"
        elif not is_active(study.search[key], entry):
            needed = conditions.as_text(study.search[key].when)
            yield f"`{place}{key}` = {value!r} has no effect here: it needs {needed} in the same entry."
