"""The sum of one trial's events: its reports, its figures, when it was at work, and what it showed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smart_tuner.artifacts import ARTIFACT_EVENTS
from smart_tuner.masking import masked
from smart_tuner.outcome import Outcome
from smart_tuner.pruning import Point
from smart_tuner.store.attributes import COST_GPU_HOURS, COST_SECONDS, Attr, flat
from smart_tuner.working_time import Span, extend, merged, seconds_at_work, seconds_by_device
from trainer.objectives import VALIDATION_LOSS, Objective
from trainer.protocol import Event, EventKind

_NO_FIGURES = ("index", "best")  # keys of a validation event that are no measurements


@dataclass
class Record:
    """The sum of a trial's events so far. Owned by the thread that runs the trial."""

    objective: Objective
    judged: frozenset[int]  # reports of earlier starts, which were judged when they came
    values: set[int]  # reports whose value of the objective is in the store
    alignment: dict[str, float]  # as in the store
    losses: dict[str, float]  # as in the store, where another figure is the objective
    is_compared: bool = True  # with other trials, by the pruner
    new_events: int = 0  # of this start
    worked: list[Span] = field(default_factory=list)  # from the store: the events may be on another machine
    spans: list[Span] = field(default_factory=list)  # from the events
    points: dict[int, Point] = field(default_factory=dict)
    best: dict[str, Any] | None = None  # figures of its best report
    artifact_events: list[Event] = field(default_factory=list)  # of pictures and sounds, for `artifacts_of`
    free_running: dict[str, float] = field(default_factory=dict)
    last: Event | None = None
    frames: int = 0  # that it has trained

    def take(self, event: Event) -> None:
        """Add an event, of an earlier start or of this one."""
        extend(self.spans, event)
        self.frames = max(self.frames, event.frames)
        if event.kind is EventKind.VALIDATION:
            self._take_report(event)
        elif event.kind is EventKind.FREE_RUNNING:
            self.free_running = event.data
        if event.kind in ARTIFACT_EVENTS:
            self.artifact_events.append(event)
        self.last = event

    def _take_report(self, event: Event) -> None:
        figures = {key: value for key, value in event.data.items() if key not in _NO_FIGURES}
        point = self.point(event)
        self.points[point.index] = point
        if event.data["best"] or self.best is None:
            self.best = figures
            self.free_running = {}  # of weights that are no longer the best

    def point(self, event: Event) -> Point:
        """A report, as the pruner sees it."""
        value = event.data.get(self.objective.figure, math.nan)
        finite = value if math.isfinite(value) else None
        return Point(int(event.data["index"]), event.data["loss"], event.data["alignment"], finite)

    def add_for_store(self, point: Point) -> None:
        """Add a report to `alignment` and `losses`. Of a report that is written again, the first one counts."""
        key = str(point.index)
        self.alignment = {**self.alignment, key: self.alignment.get(key, point.alignment)}
        if self.objective.metric != VALIDATION_LOSS and math.isfinite(point.loss):
            self.losses = {**self.losses, key: self.losses.get(key, point.loss)}

    @property
    def all_spans(self) -> list[Span]:
        """When its attempts were at work."""
        return merged([*self.worked, *self.spans])

    def metrics(self) -> dict[str, float]:
        """The figures of the best report, and the free-running ones with the prefix `free_running_`.

        A trial that ends lets its best model speak again, and these figures count: the weights and the sentences are
        those of its best report, and figures that take longer, such as the ceiling, are only among these. A trial that
        is stopped lets its last model speak, which counts only where the best report was not evaluated.
        """
        if self.best is None:
            return {}
        of_report = {VALIDATION_LOSS if key == "loss" else key: value for key, value in self.best.items()}
        at_end = {f"free_running_{key}": value for key, value in self.free_running.items()}
        finished = self.last is not None and self.last.kind is EventKind.FINISHED
        found = of_report | at_end if finished else at_end | of_report
        return {key: value for key, value in found.items() if math.isfinite(value)}


def final_attributes(record: Record, outcome: Outcome, constraints: Mapping[str, float]) -> dict[str, Any]:
    """The user attributes of a trial that has finished or pauses."""
    metrics = record.metrics()
    attributes = spent_on(record)
    if metrics:
        attributes[Attr.METRICS] = metrics
    if outcome.cause is not None and outcome.state.is_final:
        attributes[Attr.CAUSE] = outcome.cause.value
        attributes[Attr.REASON] = masked(outcome.reason)  # it may end with lines of the log
    if constraints:
        attributes[Attr.FEASIBLE] = all(value <= 0 for value in constraints.values())
    return attributes | flat(metrics, constraints)


def spent_on(record: Record) -> dict[str, Any]:
    """The user attributes that say what a trial has cost so far."""
    spans = record.all_spans
    return {
        Attr.WORKED: [(round(span.begin, 3), round(span.end, 3), span.device) for span in spans],
        Attr.FRAMES: record.frames,
        COST_SECONDS: round(seconds_at_work(spans), 3),
        COST_GPU_HOURS: round(seconds_by_device(spans).get("cuda", 0.0) / 3600, 6),
    }
