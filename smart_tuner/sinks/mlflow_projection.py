"""What a trial looks like in MLflow: names, values, steps and times.

Pure functions of an Optuna trial and its events; MLflow itself is not imported here, and nothing is sent.

One axis: the step of every point is the optimiser update at which it was taken, so that training and
validation lie over each other. The frames of speech, which are what a budget counts and what makes
trials of different batch sizes comparable, are the metric `frames` at the same steps; MLflow's charts
take a metric as their axis.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.store.attributes import Attr
from trainer.protocol import Event, EventKind, RunDir

CURVES: Mapping[EventKind, str] = {
    EventKind.PROGRESS: "train",
    EventKind.VALIDATION: "validation",
    EventKind.FREE_RUNNING: "free_running",
}
_NO_FIGURES = ("index",)  # numbers that count something else than the model's quality

STATUS: Mapping[TrialState, str] = {
    TrialState.WAITING: "SCHEDULED",  # interrupted: it goes on under the same number
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}

BEST = "best"
FIGURE_PREFIX = "figure."
OUR_TAGS = frozenset({"trial", "state", Attr.REASON, Attr.FEASIBLE, Attr.RUN_DIR})
TAG_LENGTH = 5000  # what MLflow servers of every version take


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
        found += [Point(name, _drawable(value), time, event.update) for name, value in figures.items()]
    return found


def _is_figure(name: str, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and name not in _NO_FIGURES


def _drawable(value: float) -> float:
    """NaN for infinity: MLflow would store 1.8e308, which flattens the whole chart."""
    return float(value) if math.isfinite(value) else math.nan


def outcome(trial: FrozenTrial) -> list[Point]:
    """The trial's final value as the metric `value`; empty until there is one."""
    if trial.value is None or trial.datetime_complete is None:
        return []
    return [Point("value", _drawable(trial.value), milliseconds(trial.datetime_complete), 0)]


def params(trial: FrozenTrial) -> dict[str, str]:
    """What was searched, under its dotted names; `float` of the text is the exact value again."""
    return {name: str(value) for name, value in trial.params.items()}


def tags(trial: FrozenTrial) -> dict[str, str]:
    """State, reason, feasibility and the figures of the best report."""
    attrs = trial.user_attrs
    found = {"trial": str(trial.number), "state": trial.state.name}
    found |= {name: str(attrs[name])[:TAG_LENGTH] for name in (Attr.REASON, Attr.RUN_DIR) if attrs.get(name)}
    if Attr.FEASIBLE in attrs:
        found[Attr.FEASIBLE] = str(bool(attrs[Attr.FEASIBLE])).lower()
    return found | {FIGURE_PREFIX + name: str(value) for name, value in attrs.get(Attr.METRICS, {}).items()}


def is_ours(tag: str) -> bool:
    """Whether `tags` is the only writer of this tag, so that it may go when `tags` no longer names it."""
    return tag in OUR_TAGS or tag.startswith(FIGURE_PREFIX)


def study_tags(name: str, direction: str, trials: Sequence[FrozenTrial]) -> dict[str, str]:
    """Tags of the parent run: what is studied, and how many trials are in which state."""
    counts = {state: sum(trial.state is state for trial in trials) for state in TrialState}
    return {"study": name, "direction": direction} | {
        f"trials.{state.name.lower()}": str(count) for state, count in counts.items()
    }


def study_status(trials: Sequence[FrozenTrial]) -> str:
    """RUNNING while a trial runs, SCHEDULED while only waiting ones are left, else FINISHED."""
    states = {trial.state for trial in trials}
    unfinished = (state for state in (TrialState.RUNNING, TrialState.WAITING) if state in states)
    return STATUS[next(unfinished, TrialState.COMPLETE)]


def begun(trial: FrozenTrial, events: Sequence[Event]) -> int | None:
    """When the trial began, in milliseconds.

    Its first event may be older than `datetime_start`: a continued trial gets a new start in SQL.
    """
    times = [round(event.time * 1000) for event in events[:1]]
    times += [milliseconds(at) for at in (trial.datetime_start, trial.datetime_complete) if at is not None]
    return min(times, default=None)


def milliseconds(at: datetime) -> int:
    """Milliseconds since the epoch. Optuna's times are naive and local, as `timestamp` takes them."""
    return round(at.timestamp() * 1000)


def final_artifacts(record: RunDir, events: Iterable[Event]) -> list[Path]:
    """What is kept of a finished trial beside its configuration: log, last alignment, samples; only what is there.

    A path that leads out of the trial directory is passed over.
    """
    named = [
        (event.data.get("what"), str(event.data.get("path"))) for event in events if event.kind is EventKind.ARTIFACT
    ]
    alignments = [path for what, path in named if what == "alignment"]
    samples = [path for what, path in named if what == "sample"]
    wanted = [record.log, *(record.path / path for path in dict.fromkeys(alignments[-1:] + samples))]
    return [path for path in wanted if path.is_file() and path.resolve().is_relative_to(record.path.resolve())]
