"""What a study is: one frozen model of its YAML file. Every instance has passed all checks."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from smart_tuner.errors import StudyError
from smart_tuner.names import folder_name
from smart_tuner.spec import checks, conditions
from smart_tuner.spec.parameters import Parameter, Scalar, Strict, TrainerKey, Whole, is_active
from smart_tuner.validation_errors import problems, shown
from trainer.config import EFFECTIVE_WHEN, PRESETS, RANGES, DeviceConfig, PathsConfig, TrainerConfig
from trainer.dotted import flatten, merge, unflatten
from trainer.errors import ConfigError
from trainer.objectives import DEFAULT_OBJECTIVE, OBJECTIVES, Objective
from trainer.strict import nearest

RENAMED_KEYS: Mapping[str, str] = {"limits.study_hours": "hours"}  # of earlier versions


def _in_range(key: str) -> Any:
    """The trainer's bounds, for a key of the study that becomes a setting of the trainer."""
    low, high = RANGES[key]
    return Field(ge=low, le=high)


class BudgetSpec(Strict):
    """How long one trial trains, in mel frames of speech, and how often it reports."""

    frames: Annotated[Whole, _in_range("budget.frames")]
    reports: Annotated[Whole, _in_range("budget.reports")] = 10


def _known_objective(metric: str) -> str:
    if metric not in OBJECTIVES:
        raise ValueError(f"must be {' or '.join(map(repr, OBJECTIVES))}")
    return metric


class ObjectiveSpec(Strict):
    """The figure of a trial that is optimised; of each, less is better."""

    metric: Annotated[str, AfterValidator(_known_objective)] = DEFAULT_OBJECTIVE
    direction: Literal["minimize"] = "minimize"

    @property
    def figure(self) -> Objective:
        return OBJECTIVES[self.metric]


class AlignmentConstraint(Strict):
    """With a teacher. The pruner compares only trials that reach it, and best.pt is a report that does."""

    at_least: Annotated[float, _in_range("validation.alignment_floor")] = 0.5


class FreeRunningAlignmentConstraint(Strict):
    """Without a teacher."""

    at_least: Annotated[float, Field(ge=0, le=1)] = 0.5


class FailedConstraint(Strict):
    """The share of the sentences that do not end, or end before they can have been said, without a teacher."""

    at_most: Annotated[float, Field(ge=0, le=1)] = 0.25


class ConstraintsSpec(Strict):
    """What a trial must reach before it can be the best one. None: not required."""

    alignment: AlignmentConstraint = AlignmentConstraint()
    free_running_alignment: FreeRunningAlignmentConstraint | None = None
    failed: FailedConstraint | None = None

    def missing(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """How far a trial with these figures is from each constraint; up to 0, it is satisfied.

        A figure that was not measured counts as the worst possible, so that no trial gains by not being measured.
        """
        found = {"alignment": self.alignment.at_least - metrics.get("alignment", 0.0)}
        if self.free_running_alignment is not None:
            reached = metrics.get("free_running_alignment", 0.0)
            found["free_running_alignment"] = self.free_running_alignment.at_least - reached
        if self.failed is not None:
            found["failed"] = metrics.get("free_running_failed", 1.0) - self.failed.at_most
        return found

    def completed(self, objective: Objective) -> "ConstraintsSpec":
        """With the defaults for `objective` of what was not given; they do not count as set, since they follow it."""
        if not objective.is_heard:
            return self
        defaults = {"free_running_alignment": FreeRunningAlignmentConstraint(), "failed": FailedConstraint()}
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return ConstraintsSpec.model_construct(self.model_fields_set, **(defaults | given))

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without those that the objective has no default for; one that was switched off stays so when parsed again."""
        given = self.model_fields_set
        return {name: value for name, value in handler(self).items() if value is not None or name in given}


class SamplerSpec(Strict):
    kind: Literal["tpe", "random"] = "tpe"
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] | None = None  # none: a new one at each start
    startup_trials: Annotated[Whole, Field(ge=1)] = 10  # random ones, before TPE samples
    warm_start: Annotated[tuple[str, ...], Field(strict=False)] = ()  # studies of the store, to begin with


class AlignmentDeadline(Strict):
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.5  # of the budget
    at_least: Annotated[float, Field(ge=0, le=1)] = 0.3


class PrunerSpec(Strict):
    """When a trial is stopped early. Keys that the kind does not use are allowed.

    `alignment_and_loss` ends trials; `promotion` pauses them at `rungs`, and goes on with one in `eta` from each. With
    `none`, only divergence ends a trial.
    """

    kind: Literal["alignment_and_loss", "promotion", "none"] = "alignment_and_loss"
    grace_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.4  # of the budget; before it, only divergence prunes
    alignment_deadline: AlignmentDeadline = AlignmentDeadline()
    patience: Annotated[Whole, Field(ge=1)] = 2  # consecutive reports that must agree
    # The objective's figure is compared with this quantile of it over the aligned trials at the same report. (The key
    # is from the time when the loss was the only objective.)
    loss_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    loss_min_peers: Annotated[Whole, Field(ge=1)] = 3
    eta: Annotated[Whole, Field(ge=2)] = 3  # one in so many goes on from a rung
    rungs: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False)] = (0.1, 0.3)  # of the budget


class LimitsSpec(Strict):
    """Limits of time and disk."""

    trial_hours: Annotated[float, Field(gt=0)] | None = None  # over all starts; a trial that takes longer is pruned
    silent_minutes: Annotated[float, Field(gt=0)] = 60  # a trainer without an event for so long is ended and retried
    paused_gb: Annotated[float, Field(ge=0)] = 20  # of disk for the checkpoints of paused trials, in 10^9 bytes


class ReplicatesSpec(Strict):
    """How many of the best settings are trained again after the search, and with how many further seeds each."""

    top: Annotated[Whole, Field(ge=1)] = 3
    seeds: Annotated[Whole, Field(ge=1)] = 2


def _flat(raw: Any) -> Any:
    """Nested or dotted settings -> dotted ones. Raises ValueError for a setting that is given in both forms."""
    if not isinstance(raw, Mapping):
        return raw
    flat = flatten(raw)
    if len(flat) < _leaves(raw):
        raise ValueError("must name each setting once: one is given both nested and dotted")
    return flat


def _leaves(raw: Mapping[Any, Any]) -> int:
    return sum(_leaves(value) if isinstance(value, Mapping) else 1 for value in raw.values())


def _known_preset(name: str) -> str:
    if name not in PRESETS:
        raise ValueError(f"must be a known preset ({nearest(name, PRESETS)})")
    return name


class StudySpec(Strict):
    """A study. Made by `load_study` and `parse_study`; the constructor itself raises pydantic's ValidationError."""

    name: Annotated[str, AfterValidator(folder_name)]
    description: str = ""
    corpus: Annotated[str, Field(min_length=1)]
    preset: Annotated[str, AfterValidator(_known_preset)] = "full"
    fixed: Annotated[Mapping[TrainerKey, Any], BeforeValidator(_flat)] = {}
    budget: BudgetSpec
    objective: ObjectiveSpec = ObjectiveSpec()
    constraints: ConstraintsSpec = ConstraintsSpec()
    search: Mapping[TrainerKey, Parameter]  # empty: its trials all have the settings of `fixed`, as a training has
    enqueue: Annotated[tuple[Mapping[str, Scalar], ...], Field(strict=False)] = ()
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec = PrunerSpec()
    limits: LimitsSpec = LimitsSpec()
    replicates: ReplicatesSpec | None = None
    # The study ends with whichever comes first. `smart-tuner optimize` has an option for each.
    trials: Annotated[Whole, Field(ge=1)] = 50  # that have finished
    hours: Annotated[float, Field(gt=0)] | None = None  # since the last `optimize` or `resume`
    frames: Annotated[Whole, Field(ge=1)] | None = None  # that all its trials have trained
    until: Literal["settled"] | None = None  # a further trial is expected to gain less than seeds alone differ

    @model_validator(mode="before")
    @classmethod
    def _with_renamed_keys(cls, raw: Any) -> Any:
        """A definition with the keys of an earlier version by their present names. ValueError where both differ."""
        limits = raw.get("limits") if isinstance(raw, Mapping) else None
        if not isinstance(limits, Mapping) or "study_hours" not in limits:
            return raw
        rest = {key: value for key, value in limits.items() if key != "study_hours"}
        hours = limits["study_hours"]
        if raw.get("hours", hours) != hours:
            raise ValueError(
                f"`hours` is {shown(raw['hours'])} and `limits.study_hours`, its earlier name, is {shown(hours)}; "
                "remove `limits.study_hours`."
            )
        return {**raw, "limits": rest, "hours": hours}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # The constraints that were not given depend on the objective. Pydantic has no default that does.
        self.__dict__["constraints"] = self.constraints.completed(self.objective.figure)
        found = checks.problems(self)
        if found:
            raise ValueError("\n".join(found))
        return self

    def trainer_config(
        self, params: Mapping[str, Any], *, seed: int, paths: PathsConfig, device: DeviceConfig
    ) -> TrainerConfig:
        """The complete configuration of one trial: preset, then `fixed`, then `params`.

        params: as from `space.suggest`: exactly the parameters whose conditions are met. They may be outside a range
        that was narrowed after the trial started. A `fixed` setting that has no effect in this trial is left out, since
        the trainer refuses it. A study may fix `device.precision`; the rest of the device is up to the installation.

        Raises StudyError where `params` do not fit the study, or the trainer refuses the result.
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
        """The trainer settings, by dotted key, that the study gives all trials; the preset is given by its name."""
        return {
            **self.fixed,
            "preset": self.preset,
            "corpus.source": self.corpus,
            "budget.frames": self.budget.frames,
            "budget.reports": self.budget.reports,
            "validation.alignment_floor": self.constraints.alignment.at_least,
            "validation.best_by": self.objective.metric,
        }

    def takes(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial may have these parameters, no more and no fewer, be they in the ranges or not."""
        return params.keys() <= self.search.keys() and all(
            is_active(parameter, params) is (key in params) for key, parameter in self.search.items()
        )

    @property
    def spoken_sentences(self) -> int:
        """How many validation sentences a trial speaks without a teacher at a report, if there are so many."""
        return int(conditions.constant(self, "validation.free_running_utterances"))

    @property
    def names_objective(self) -> bool:
        """Whether its definition names the objective. Without, a study that is stored keeps its own."""
        return "objective" in self.model_fields_set and "metric" in self.objective.model_fields_set

    def as_given(self) -> dict[str, Any]:
        """Its definition without defaults, to be parsed again with changes."""
        given: dict[str, Any] = json.loads(self.model_dump_json(exclude_unset=True))
        return given

    def _check_params(self, params: Mapping[str, Any], where: str) -> None:
        for key in params:
            if key not in self.search:
                raise StudyError(f"{where}: `{key}` is no parameter of this study; {nearest(key, self.search)}.")
        for key, parameter in self.search.items():
            if is_active(parameter, params) != (key in params):
                fault = "has no effect with" if key in params else "is missing in"
                raise StudyError(f"{where}: `{key}` {fault} {dict(params)!r}.")

    def _is_idle(self, key: str, params: Mapping[str, Any]) -> bool:
        """Whether a setting that depends on a searched one has no effect with `params`."""
        needs = EFFECTIVE_WHEN.get(key)
        if needs is None or needs.key not in self.search:
            return False
        value = params[needs.key] if needs.key in params else conditions.constant(self, needs.key)
        return not needs.test(value)


def parse_study(raw: Mapping[str, Any], where: str) -> StudySpec:
    """Raises StudyError with one line per problem, each with `where` (such as a file) and the key."""
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        found = problems(error, StudySpec)
        raise StudyError("\n".join(f"{where}: {sentence}" for _, sentence in found)) from error
