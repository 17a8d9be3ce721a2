"""The distributions that Optuna makes of a search space."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from smart_tuner.spec.parameters import CategoricalParameter, FloatParameter, Parameter


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """As of what `smart_tuner.space.suggest` asks for."""
    if isinstance(parameter, CategoricalParameter):
        return CategoricalDistribution(parameter.choices)
    if isinstance(parameter, FloatParameter):
        return FloatDistribution(parameter.low, parameter.high, step=parameter.step, log=parameter.log)
    return IntDistribution(parameter.low, parameter.high, step=parameter.step or 1, log=parameter.log)
