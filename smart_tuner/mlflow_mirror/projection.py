"""What a trial looks like in MLflow: names, values, steps and times.

Pure functions of an Optuna trial and its events; MLflow itself is not imported here, and nothing is sent.

One axis: the step of every point is the optimiser update at which it was taken, so that training and
validation lie over each other. The frames of speech, which are what a budget counts and what makes
trials of different batch sizes comparable, are the metric `frames` at the same steps; MLflow's charts
take a metric as their axis.
"""

import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.artifacts import ArtifactKind, artifacts_of
from smart_tuner.store.attributes import Attr, stored_cause
from trainer.protocol import Event, EventKind, RunDir

CURVES: Mapping[EventKind, str] = {
    EventKind.PROGRESS: "train",
    EventKind.VALIDATION: "validation",
    EventKind.FREE_RUNNING: "free_running",
}
_SINGLE = ("frames", "value")  # curves beside those folders
_NO_FIGURES = ("index",)  # numbers that count something else than the model's quality

STATUS: Mapping[TrialState, str] = {
    TrialState.WAITING: "SCHEDULED",  # interrupted: it goes on under the same number
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}

BEST = "best"
FIGURE, CONSTRAINT, PRUNED, ENVIRONMENT = "figure.", "constraint.", "pruned.", "environment."
_OF_BEST = "best."  # of the parent run: params of MLflow cannot change, and another trial may become the best
_OF_TRIAL = frozenset({"trial", "state", Attr.CAUSE, Attr.REASON, Attr.FEASIBLE, Attr.RUN_DIR})
_NAME = re.compile(r"[\w .:/-]{1,250}")  # what MLflow takes; a broken trainer may write anything
_TAG_LENGTH = 5000  # what MLflow servers of every version take


@dataclass(frozen=True)
class Point:
    """One value of one curve. time: milliseconds since the epoch, UTC, when it was measured."""

    name: str
    value: float
    time: int
    step: int


def points(events: Iterable[Event]) -> list[Point]:
    """The points that `events` hold, in their order.

    The value and time are the event's own, so that sending them again adds nothing. Where a resumed
    trial repeats updates, both measurements are kept, as the record has them; the later one counts as
    the newest.
    """
    found: list[Point] = []
    for event in events:
        if event.kind not in CURVES:
            continue
        time = round(event.time * 1000)
        figures = {
            f"{CURVES[event.kind]}/{name}": value for name, value in event.data.items() if _is_figure(name, value)
        }
        figures["frames"] = event.frames
        found += [Point(name, drawable(value), time, event.update) for name, value in figures.items()]
    return found


def _is_figure(name: str, value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and name not in _NO_FIGURES and _is_name(name)


def _is_name(text: str) -> bool:
    """Whether MLflow takes it for a key: one that is refused would keep all else of its trial away."""
    return _NAME.fullmatch(text) is not None and posixpath.normpath(text) == text and text[0] not in "/."


def drawable(value: float) -> float:
    """NaN for infinity: MLflow would store 1.8e308, which flattens the whole chart.

    It is always the same NaN, so that points can be compared."""
    return float(value) if math.isfinite(value) else math.nan


def is_curve(name: str) -> bool:
    """Whether points of this name are ours alone."""
    return name in _SINGLE or name.startswith(tuple(f"{folder}/" for folder in CURVES.values()))


def outcome(trial: FrozenTrial) -> list[Point]:
    """The trial's final value as the metric `value`; empty until there is one."""
    at = ended(trial)
    return [Point("value", drawable(trial.value), at, 0)] if trial.value is not None and at is not None else []


def params(trial: FrozenTrial) -> dict[str, str]:
    """What was searched, under its dotted names; `float` of the text is the exact value again."""
    return {name: str(value) for name, value in trial.params.items()}


def tags(trial: FrozenTrial) -> dict[str, str]:
    """State, cause, reason, feasibility, constraints, figures of the best report, where a pruned one was stopped."""
    attrs = trial.user_attrs
    found = {"trial": str(trial.number), "state": trial.state.name}
    found |= {name: str(attrs[name]) for name in (Attr.REASON, Attr.RUN_DIR) if attrs.get(name)}
    if (cause := stored_cause(trial)) is not None:
        found[Attr.CAUSE] = cause.value
    if Attr.FEASIBLE in attrs:
        found[Attr.FEASIBLE] = str(bool(attrs[Attr.FEASIBLE])).lower()
    found |= {f"{CONSTRAINT}{name}": str(value) for name, value in trial.constraints.items()}
    found |= {f"{FIGURE}{name}": str(value) for name, value in attrs.get(Attr.METRICS, {}).items()}
    return _tags(found | (_where_pruned(trial) if trial.state is TrialState.PRUNED else {}))


def _where_pruned(trial: FrozenTrial) -> dict[str, str]:
    """The figures of its last report: what the pruner judged it by."""
    alignment = {int(index): value for index, value in trial.user_attrs.get(Attr.ALIGNMENT, {}).items()}
    last = max([*alignment, *trial.intermediate_values], default=None)
    if last is None:
        return {}
    figures = {"report": last, "loss": trial.intermediate_values.get(last), "alignment": alignment.get(last)}
    return {f"{PRUNED}{name}": str(value) for name, value in figures.items() if value is not None}


def environment(events: Iterable[Event]) -> dict[str, str]:
    """Versions, device, commit and seed, as the last start that is among `events` told them; empty without one."""
    starts = [event.data for event in events if event.kind is EventKind.STARTED]
    if not starts:
        return {}
    told = starts[-1] | {"seed": starts[-1]["config"].get("seed")}
    known = {name: value for name, value in told.items() if isinstance(value, str | int | float)}
    return _tags({f"{ENVIRONMENT}{name}": str(value) for name, value in known.items() if name != "resumed"})


def _tags(found: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:_TAG_LENGTH] for name, value in found.items() if value and _is_name(name)}


def is_of_trial(tag: str) -> bool:
    """Whether `tags` is the only writer of this tag, so that it may go when `tags` no longer names it."""
    return tag in _OF_TRIAL or tag.startswith((FIGURE, CONSTRAINT, PRUNED))


def is_of_environment(tag: str) -> bool:
    """The same for `environment`."""
    return tag.startswith(ENVIRONMENT)


def study_tags(name: str, direction: str, trials: Sequence[FrozenTrial], best: FrozenTrial | None) -> dict[str, str]:
    """Tags of the parent run: what is studied, how many trials are in which state, the best one and its parameters."""
    counts = {state: sum(trial.state is state for trial in trials) for state in TrialState}
    found = {"study": name, "direction": direction}
    found |= {f"trials.{state.name.lower()}": str(count) for state, count in counts.items()}
    if best is not None:
        told = {"trial": str(best.number), "value": str(best.value), **params(best)}
        found |= {f"{_OF_BEST}{key}": value for key, value in told.items()}
    return _tags(found)


def is_of_best(tag: str) -> bool:
    """The same as `is_of_trial`, for what `study_tags` says of the best trial."""
    return tag.startswith(_OF_BEST)


def study_status(trials: Sequence[FrozenTrial]) -> str:
    """RUNNING while a trial runs, SCHEDULED while only waiting ones are left, else FINISHED."""
    states = {trial.state for trial in trials}
    unfinished = (state for state in (TrialState.RUNNING, TrialState.WAITING) if state in states)
    return STATUS[next(unfinished, TrialState.COMPLETE)]


def begun(trial: FrozenTrial, first: Event | None) -> int | None:
    """When the trial began, in milliseconds: at its first event, else when the store says.

    SQL alone would not do: a continued trial gets a new start there.
    """
    if first is not None:
        return round(first.time * 1000)
    at = trial.datetime_start or trial.datetime_complete
    return milliseconds(at) if at is not None else None


def ended(trial: FrozenTrial) -> int | None:
    """When it ended, in milliseconds; None while it has not."""
    return milliseconds(trial.datetime_complete) if trial.datetime_complete is not None else None


def milliseconds(at: datetime) -> int:
    """Milliseconds since the epoch. Optuna's times are naive and local, as `timestamp` takes them."""
    return round(at.timestamp() * 1000)


def files(record: RunDir, events: Iterable[Event]) -> list[Path]:
    """What is kept of a finished trial: configuration, log, last alignment, samples; only what is there."""
    artifacts = artifacts_of(record, events)
    alignments = [artifact for artifact in artifacts if artifact.kind is ArtifactKind.ALIGNMENT]
    samples = [artifact for artifact in artifacts if artifact.kind is ArtifactKind.SAMPLE]
    own = [record.file(path.name) for path in (record.config, record.log)]
    return [file for file in (*own, *(each.file for each in alignments[-1:] + samples)) if file is not None]
