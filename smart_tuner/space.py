"""Search space -> the parameters of one trial. Pure, except that the trial stores what it suggests."""

from collections.abc import Sequence
from typing import Any, Protocol

from smart_tuner.spec.parameters import CategoricalParameter, FloatParameter, Parameter, Search, is_active


class Trial(Protocol):
    """The part of `optuna.trial.BaseTrial` that is needed here."""

    @property
    def params(self) -> dict[str, Any]: ...

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


def suggest(trial: Trial, search: Search) -> dict[str, Any]:
    """Have `trial` suggest each parameter whose conditions the earlier ones meet, in the order of the study.

    A second call for the same trial returns the same values, even where a range has been narrowed since.
    """
    known = trial.params
    params: dict[str, Any] = {}
    for name, parameter in search.items():
        if is_active(parameter, params):
            params[name] = known[name] if name in known else _suggest_one(trial, name, parameter)
    return params


def _suggest_one(trial: Trial, name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, CategoricalParameter):
        return trial.suggest_categorical(name, parameter.choices)
    if isinstance(parameter, FloatParameter):
        return trial.suggest_float(name, parameter.low, parameter.high, step=parameter.step, log=parameter.log)
    return trial.suggest_int(name, parameter.low, parameter.high, step=parameter.step or 1, log=parameter.log)
