"""A trial as MLflow shows it: names, values, steps and times.

Pure functions of an Optuna trial and its events. MLflow is not imported here, and nothing is sent.

The step of every point is the optimiser update at which it was measured, so that curves of training and validation
share one axis. The frames of speech, which a budget counts and which make trials of different batch sizes comparable,
are the metric `frames` at the same steps; MLflow's charts can use a metric as their axis.
"""

import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.artifacts import ArtifactKind, artifacts_of
from smart_tuner.figures import verdict
from smart_tuner.store.attributes import PAUSED, Attr, shown_state, stored_cause
from smart_tuner.store.curves import losses_of
from trainer.objectives import Objective
from trainer.protocol import Event, EventKind, RunDir

CURVES: Mapping[EventKind, str] = {
    EventKind.PROGRESS: "train",
    EventKind.VALIDATION: "validation",
    EventKind.FREE_RUNNING: "free_running",
}
_SINGLE = ("frames", "value")  # curves outside those folders
_NO_FIGURES = ("index",)  # numbers that do not measure the model

STATUS: Mapping[TrialState, str] = {
    TrialState.WAITING: "SCHEDULED",  # interrupted or paused; it is continued under the same number
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}

BEST = "best"
FIGURE, CONSTRAINT, PRUNED, ENVIRONMENT = "figure.", "constraint.", "pruned.", "environment."
_OF_BEST = "best."  # of the parent run: params of MLflow cannot change, and another trial may become the best
VERDICT = "verdict"  # what is heard, in words
_OF_TRIAL = frozenset(
    {
        "trial",
        "state",
        VERDICT,
        Attr.CAUSE,
        Attr.REASON,
        Attr.FEASIBLE,
        Attr.RUN_DIR,
        Attr.PAUSED,
        Attr.PROMOTED,
        Attr.REPLICATE_OF,
    }
)
_NAME = re.compile(r"[\w .:/-]{1,250}")  # names that MLflow accepts; a faulty trainer may write anything
_TAG_LENGTH = 5000  # accepted by MLflow servers of every version


@dataclass(frozen=True)
class Point:
    """One value of one curve. time: milliseconds since the epoch, UTC, when it was measured."""

    name: str
    value: float
    time: int
    step: int


def points(events: Iterable[Event]) -> list[Point]:
    """The points of these events, in their order.

    Value and time are the event's own, so sending a point again adds nothing. If a resumed trial repeats updates, both
    measurements are kept, as in the record, and MLflow shows the later one as the latest.
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
    """Whether MLflow accepts it as a key. One that it refuses would block everything else of its trial."""
    return _NAME.fullmatch(text) is not None and posixpath.normpath(text) == text and text[0] not in "/."


def drawable(value: float) -> float:
    """NaN for infinity: MLflow would store 1.8e308, which flattens the whole chart.

    It is always the same NaN object, so that points can be compared."""
    return float(value) if math.isfinite(value) else math.nan


def is_curve(name: str) -> bool:
    """Whether only the mirror writes points of this name."""
    return name in _SINGLE or name.startswith(tuple(f"{folder}/" for folder in CURVES.values()))


def outcome(trial: FrozenTrial) -> list[Point]:
    """The trial's final value as the metric `value`; empty until there is one."""
    at = end_time(trial)
    return [Point("value", drawable(trial.value), at, 0)] if trial.value is not None and at is not None else []


def params(trial: FrozenTrial) -> dict[str, str]:
    """The searched parameters by their dotted names; `float` of a text is the exact value again."""
    return {name: str(value) for name, value in trial.params.items()}


def tags(trial: FrozenTrial, objective: Objective) -> dict[str, str]:
    """State, cause, reason, pauses, original of a replicate, feasibility, constraints, verdict, figures, last report.

    objective: what its intermediate values are.
    """
    attrs = trial.user_attrs
    found = {"trial": str(trial.number), "state": shown_state(trial)}
    if found["state"] == PAUSED:
        found[Attr.PAUSED] = str(attrs[Attr.PAUSED]["reason"])
    if promoted := attrs.get(Attr.PROMOTED):
        found[Attr.PROMOTED] = ", ".join(map(str, promoted))
    if (original := attrs.get(Attr.REPLICATE_OF)) is not None:
        found[Attr.REPLICATE_OF] = str(original)
    found |= {name: str(attrs[name]) for name in (Attr.REASON, Attr.RUN_DIR) if attrs.get(name)}
    if (cause := stored_cause(trial)) is not None:
        found[Attr.CAUSE] = cause.value
    if Attr.FEASIBLE in attrs:
        found[Attr.FEASIBLE] = str(bool(attrs[Attr.FEASIBLE])).lower()
    found |= {f"{CONSTRAINT}{name}": str(value) for name, value in trial.constraints.items()}
    if metrics := attrs.get(Attr.METRICS):
        found[VERDICT] = verdict(metrics)
        found |= {f"{FIGURE}{name}": str(value) for name, value in metrics.items()}
    return _tags(found | (_last_report(trial, objective) if trial.state is TrialState.PRUNED else {}))


def _last_report(trial: FrozenTrial, objective: Objective) -> dict[str, str]:
    """The figures of its last report, by which the pruner judged it."""
    alignment = {int(index): value for index, value in trial.user_attrs.get(Attr.ALIGNMENT, {}).items()}
    last = max([*alignment, *trial.intermediate_values], default=None)
    if last is None:
        return {}
    loss = losses_of(trial.intermediate_values, trial.user_attrs, objective).get(last)
    figures = {"report": last, "loss": loss, "alignment": alignment.get(last)}
    return {f"{PRUNED}{name}": str(value) for name, value in figures.items() if value is not None}


def environment(events: Iterable[Event]) -> dict[str, str]:
    """Versions, device, commit and seed, from the last start among `events`; empty without one."""
    starts = [event.data for event in events if event.kind is EventKind.STARTED]
    if not starts:
        return {}
    reported = starts[-1] | {"seed": starts[-1]["config"].get("seed")}
    known = {name: value for name, value in reported.items() if isinstance(value, str | int | float)}
    return _tags({f"{ENVIRONMENT}{name}": str(value) for name, value in known.items() if name != "resumed"})


def _tags(found: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:_TAG_LENGTH] for name, value in found.items() if value and _is_name(name)}


def is_of_trial(tag: str) -> bool:
    """Whether only `tags` writes this tag, so that it is removed when `tags` no longer has it."""
    return tag in _OF_TRIAL or tag.startswith((FIGURE, CONSTRAINT, PRUNED))


def is_of_environment(tag: str) -> bool:
    """Whether only `environment` writes this tag."""
    return tag.startswith(ENVIRONMENT)


def study_tags(name: str, direction: str, trials: Sequence[FrozenTrial], best: FrozenTrial | None) -> dict[str, str]:
    """Tags of the parent run: name, direction, number of trials by state, the best trial with its parameters."""
    counts = Counter(map(shown_state, trials))
    found = {"study": name, "direction": direction}
    found |= {f"trials.{state.lower()}": str(counts[state]) for state in (*TrialState.__members__, PAUSED)}
    if best is not None:
        heard = verdict(best.user_attrs.get(Attr.METRICS, {}))
        of_best = {"trial": str(best.number), "value": str(best.value), VERDICT: heard, **params(best)}
        found |= {f"{_OF_BEST}{key}": value for key, value in of_best.items()}
    return _tags(found)


def is_of_best(tag: str) -> bool:
    """Whether it is a tag of `study_tags` about the best trial."""
    return tag.startswith(_OF_BEST)


def study_status(trials: Sequence[FrozenTrial]) -> str:
    """RUNNING while a trial runs, SCHEDULED while only waiting ones are left, else FINISHED."""
    states = {trial.state for trial in trials}
    unfinished = (state for state in (TrialState.RUNNING, TrialState.WAITING) if state in states)
    return STATUS[next(unfinished, TrialState.COMPLETE)]


def start_time(trial: FrozenTrial, first: Event | None) -> int | None:
    """When the trial started, in milliseconds: at its first event, or else by the store.

    The store alone is not enough: there, a continued trial gets a new start.
    """
    if first is not None:
        return round(first.time * 1000)
    at = trial.datetime_start or trial.datetime_complete
    return milliseconds(at) if at is not None else None


def end_time(trial: FrozenTrial) -> int | None:
    """When the trial ended, in milliseconds; None before that."""
    return milliseconds(trial.datetime_complete) if trial.datetime_complete is not None else None


def milliseconds(at: datetime) -> int:
    """Milliseconds since the epoch. Optuna's times are naive and local, as `timestamp` expects."""
    return round(at.timestamp() * 1000)


def files(record: RunDir, events: Iterable[Event]) -> list[Path]:
    """The existing files of a finished trial that MLflow gets: configuration, log, last alignment, samples."""
    artifacts = artifacts_of(record, events)
    alignments = [artifact for artifact in artifacts if artifact.kind is ArtifactKind.ALIGNMENT]
    samples = [artifact for artifact in artifacts if artifact.kind is ArtifactKind.SAMPLE]
    own = [record.file(path.name) for path in (record.config, record.log)]
    return [file for file in (*own, *(artifact.file for artifact in alignments[-1:] + samples)) if file is not None]
