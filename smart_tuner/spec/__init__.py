"""The definition of a study: one YAML file, validated before anything runs. Needs neither Optuna nor torch."""

from smart_tuner.spec.loading import find_study, known_studies, load_study
from smart_tuner.spec.overrides import parse_overrides
from smart_tuner.spec.parameters import CategoricalParameter, FloatParameter, IntParameter, Parameter, Search
from smart_tuner.spec.study import (
    BudgetSpec,
    ConstraintsSpec,
    LimitsSpec,
    PrunerSpec,
    SamplerSpec,
    StudySpec,
    parse_study,
)

__all__ = [
    "BudgetSpec",
    "CategoricalParameter",
    "ConstraintsSpec",
    "FloatParameter",
    "IntParameter",
    "LimitsSpec",
    "Parameter",
    "PrunerSpec",
    "SamplerSpec",
    "Search",
    "StudySpec",
    "find_study",
    "known_studies",
    "load_study",
    "parse_overrides",
    "parse_study",
]
