"""The parameters of a search space, and what can be computed of them without Optuna.

A parameter may have `when: {parent: value}` (or a list of values): it exists only in trials where every parent exists
and has one of these values.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from trainer.config import RENAMED, field_types, suggest_key


class Strict(BaseModel):
    """Frozen; no unknown key, no text for a number, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


def _scalar(value: Any) -> bool | int | float | str:
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("must be a number, a text, true or false")


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 6e5 is a whole number


def _as_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _known_key(key: str) -> str:
    key = RENAMED.get(key, key)
    if key not in field_types():
        raise ValueError(f"is no known setting of the trainer; {suggest_key(key)}")
    return key


Scalar = Annotated[bool | int | float | str, PlainValidator(_scalar)]
Whole = Annotated[int, BeforeValidator(_whole)]
TrainerKey = Annotated[str, AfterValidator(_known_key)]
When = Mapping[str, Annotated[tuple[Scalar, ...], BeforeValidator(_as_list), Field(min_length=1)]]


class FloatParameter(Strict):
    type: Literal["float"]
    low: float
    high: float  # included
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None
    when: When = {}


class IntParameter(Strict):
    type: Literal["int"]
    low: Whole
    high: Whole  # included
    log: bool = False
    step: Annotated[Whole, Field(gt=0)] | None = None
    when: When = {}


class CategoricalParameter(Strict):
    type: Literal["categorical"]
    choices: Annotated[tuple[Scalar, ...], Field(strict=False)]
    when: When = {}


Parameter = Annotated[FloatParameter | IntParameter | CategoricalParameter, Field(discriminator="type")]
Search = Mapping[str, FloatParameter | IntParameter | CategoricalParameter]


_ROUNDING = 1e-9  # relative; 0.2 + 0.1 is 0.30000000000000004, which a person writes as 0.3
_GRID_TOLERANCE = 1e-8  # in steps; Optuna's own (FloatDistribution._contains)


def same(one: Any, other: Any) -> bool:
    """Equality for which `true` is not 1, and floats are equal up to rounding."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_ROUNDING)
    return bool(one == other)


def contains(parameter: Parameter, value: Any) -> bool:
    """Whether a trial can get `value`, by the rules of Optuna's distributions."""
    if isinstance(parameter, CategoricalParameter):
        return any(same(value, choice) for choice in parameter.choices)
    if isinstance(value, bool) or not isinstance(value, int | float) or not parameter.low <= value <= parameter.high:
        return False
    if isinstance(parameter, IntParameter) and not isinstance(value, int):
        return False
    return parameter.step is None or on_grid(parameter.low, value, parameter.step)


def on_grid(low: float, value: float, step: float) -> bool:
    """Whether `value` is `low` plus a whole number of steps, up to rounding.

    Optuna's rule: its own suggestions (`low + k * step` in binary floats) are on the grid, and so is what people write.
    """
    steps = (value - low) / step
    return abs(steps - round(steps)) < _GRID_TOLERANCE


def is_active(parameter: Parameter, params: Mapping[str, Any]) -> bool:
    """Whether `parameter` exists in a trial. params: the trial's values of the parameters listed before it."""
    return all(
        parent in params and any(same(params[parent], value) for value in allowed)
        for parent, allowed in parameter.when.items()
    )


def nearest_value(parameter: Parameter, value: Any) -> Any:
    """The value of a number's range that is nearest to `value`; None where there is none, as for a category."""
    if isinstance(parameter, CategoricalParameter) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    inside = min(max(value, parameter.low), parameter.high)
    step = parameter.step or (1 if isinstance(parameter, IntParameter) else None)
    if step is not None:
        inside = parameter.low + round((inside - parameter.low) / step) * step
    return int(inside) if isinstance(parameter, IntParameter) else inside


def position(parameter: FloatParameter | IntParameter, value: float) -> float:
    """Where `value` lies in its range, from 0 to 1; by its logarithm, where the parameter is searched so."""
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def extremes(parameter: Parameter) -> tuple[Any, ...]:
    """The values to check in place of all: each choice, or both bounds."""
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices
    return (parameter.low, parameter.high)


def span(parameter: Parameter) -> str:
    """The values of `parameter`, as text."""
    if isinstance(parameter, CategoricalParameter):
        return "one of " + ", ".join(repr(choice) for choice in parameter.choices)
    grid = f" in steps of {parameter.step:g}" if parameter.step is not None else ""
    return f"between {parameter.low:g} and {parameter.high:g}{grid}"
