"""What a study is: one frozen model of its YAML file. Whatever exists of it has passed every check."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from smart_tuner.errors import StudyError
from smart_tuner.spec import checks, conditions
from smart_tuner.spec.parameters import Parameter, Scalar, Strict, TrainerKey, Whole, is_active
from smart_tuner.validation_errors import problems
from trainer.config import (
    EFFECTIVE_WHEN,
    PRESETS,
    RANGES,
    DeviceConfig,
    PathsConfig,
    TrainerConfig,
    flatten,
    merge,
    unflatten,
)
from trainer.errors import ConfigError
from trainer.strict import nearest


def _in_range(key: str) -> Any:
    """The trainer's own bounds, for a key of the study that becomes a setting of the trainer."""
    low, high = RANGES[key]
    return Field(ge=low, le=high)


class BudgetSpec(Strict):
    """How long one trial trains, in mel frames of speech seen, and how often it reports."""

    frames: Annotated[Whole, _in_range("budget.frames")]
    reports: Annotated[Whole, _in_range("budget.reports")] = 10


class ObjectiveSpec(Strict):
    metric: Literal["validation_loss"] = "validation_loss"
    direction: Literal["minimize"] = "minimize"


class AlignmentConstraint(Strict):
    at_least: Annotated[float, _in_range("validation.alignment_floor")] = 0.5


class ConstraintsSpec(Strict):
    """What a trial must reach before it can be the best one."""

    alignment: AlignmentConstraint = AlignmentConstraint()


class SamplerSpec(Strict):
    kind: Literal["tpe", "random"] = "tpe"
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] | None = None  # none: another one at each start
    startup_trials: Annotated[Whole, Field(ge=1)] = 10  # random ones, before TPE begins to learn


class AlignmentDeadline(Strict):
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.5  # of the budget
    at_least: Annotated[float, Field(ge=0, le=1)] = 0.3


class PrunerSpec(Strict):
    """When a trial is stopped early. With kind `none` the other keys are kept, and unused."""

    kind: Literal["alignment_and_loss", "none"] = "alignment_and_loss"
    grace_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.4  # of the budget: before it, nothing is pruned on a figure
    alignment_deadline: AlignmentDeadline = AlignmentDeadline()
    patience: Annotated[Whole, Field(ge=1)] = 2  # consecutive reports that must agree
    loss_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5  # of the aligned trials at the same report
    loss_min_peers: Annotated[Whole, Field(ge=1)] = 3


class LimitsSpec(Strict):
    """When time is up, whatever the figures."""

    trial_hours: Annotated[float, Field(gt=0)] | None = None  # over all starts; a trial that takes longer is pruned
    study_hours: Annotated[float, Field(gt=0)] | None = None  # from when it was last started; the rest can be resumed
    silent_minutes: Annotated[float, Field(gt=0)] = 60  # a trainer that says nothing hangs: it is ended and retried


def _flat(raw: Any) -> Any:
    """Nested or dotted settings -> dotted ones. Raises ValueError for a setting that is given both ways."""
    if not isinstance(raw, Mapping):
        return raw
    flat = flatten(raw)
    if len(flat) < _leaves(raw):
        raise ValueError("must name each setting once: one is given both nested and dotted")
    return flat


def _leaves(raw: Mapping[Any, Any]) -> int:
    return sum(_leaves(value) if isinstance(value, Mapping) else 1 for value in raw.values())


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        raise ValueError(
            "must be at most 100 ASCII letters (a-z, A-Z), digits, - _ . and not begin with - or . (it names folders)"
        )
    return name


def _known_preset(name: str) -> str:
    if name not in PRESETS:
        raise ValueError(f"must be a known preset ({nearest(name, PRESETS)})")
    return name


class StudySpec(Strict):
    """A study. `load_study` and `parse_study` make one; made directly, it raises pydantic's ValidationError."""

    name: Annotated[str, AfterValidator(_folder_name)]
    description: str = ""
    corpus: Annotated[str, Field(min_length=1)]
    preset: Annotated[str, AfterValidator(_known_preset)] = "full"
    fixed: Annotated[Mapping[TrainerKey, Any], BeforeValidator(_flat)] = {}
    budget: BudgetSpec
    objective: ObjectiveSpec = ObjectiveSpec()
    constraints: ConstraintsSpec = ConstraintsSpec()
    search: Annotated[Mapping[TrainerKey, Parameter], Field(min_length=1)]
    enqueue: Annotated[tuple[Mapping[str, Scalar], ...], Field(strict=False)] = ()
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec = PrunerSpec()
    limits: LimitsSpec = LimitsSpec()
    trials: Annotated[Whole, Field(ge=1)] = 50

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = checks.problems(self)
        if found:
            raise ValueError("\n".join(found))
        return self

    def trainer_config(
        self, params: Mapping[str, Any], *, seed: int, paths: PathsConfig, device: DeviceConfig
    ) -> TrainerConfig:
        """The complete configuration of one trial: preset, then `fixed`, then `params`.

        `params` must be what `space.suggest` gives: the parameters that exist beside each other, all of
        them; of a trial that was begun before a range was narrowed, values outside that range. A `fixed`
        setting which has no effect in this very trial is left out, since the trainer refuses such;
        `device.precision` may be fixed by a study, the rest of the device is the installation's.

        Raises StudyError where `params` do not fit the study, or the trainer refuses the whole.
        """
        where = f"study {self.name!r}"
        self._check_params(params, where)
        values = {**self.base(), **params}
        effective = {key: value for key, value in values.items() if not self._is_idle(key, params)}
        own = {"seed": seed, "paths": asdict(paths), "device": asdict(device)}
        try:
            return TrainerConfig.from_mapping(merge(own, unflatten(effective)), where)
        except ConfigError as error:
            raise StudyError(str(error)) from error

    def base(self) -> dict[str, Any]:
        """Dotted trainer settings that all trials share, in so far as the study says; the preset is under its name."""
        return {
            **self.fixed,
            "preset": self.preset,
            "corpus.source": self.corpus,
            "budget.frames": self.budget.frames,
            "budget.reports": self.budget.reports,
            "validation.alignment_floor": self.constraints.alignment.at_least,
        }

    def _check_params(self, params: Mapping[str, Any], where: str) -> None:
        for key in params:
            if key not in self.search:
                raise StudyError(f"{where}: `{key}` is no parameter of this study; {nearest(key, self.search)}.")
        for key, parameter in self.search.items():
            if is_active(parameter, params) != (key in params):
                given = "has no place beside" if key in params else "is missing beside"
                raise StudyError(f"{where}: `{key}` {given} {dict(params)!r}.")

    def _is_idle(self, key: str, params: Mapping[str, Any]) -> bool:
        """Whether a setting that needs a searched one has no effect beside `params`."""
        needs = EFFECTIVE_WHEN.get(key)
        if needs is None or needs.key not in self.search:
            return False
        value = params[needs.key] if needs.key in params else conditions.constant(self, needs.key)
        return not needs.test(value)


def parse_study(raw: Mapping[str, Any], where: str) -> StudySpec:
    """Raises StudyError with one line per problem, each naming `where` (a file) and the key."""
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        found = problems(error, StudySpec)
        raise StudyError("\n".join(f"{where}: {sentence}" for _, sentence in found)) from error
