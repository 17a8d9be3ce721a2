"""The sum of one trial's events: its reports, its figures, when it was at work, and what it showed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smart_tuner.artifacts import ARTIFACT_EVENTS
from smart_tuner.masking import masked
from smart_tuner.pruning import Point
from smart_tuner.store.attributes import Attr, flat
from smart_tuner.verdict import Verdict
from smart_tuner.working_time import Span, extend, merged
from trainer.protocol import Event, EventKind

_NO_FIGURES = ("index", "best")  # keys of a validation event that are no measurements


@dataclass
class Record:
    """The sum of a trial's events so far. Owned by the thread that runs the trial."""

    judged: frozenset[int]  # reports of earlier starts, which were judged when they came
    losses: set[int]  # reports whose loss is in the store
    alignment: dict[str, float]  # as in the store
    new_events: int = 0  # of this start
    worked: list[Span] = field(default_factory=list)  # from the store: the events may be on another machine
    spans: list[Span] = field(default_factory=list)  # from the events
    points: dict[int, Point] = field(default_factory=dict)
    best: dict[str, Any] | None = None  # figures of its best report
    artifact_events: list[Event] = field(default_factory=list)  # of pictures and sounds, for `artifacts_of`
    free_running: dict[str, float] = field(default_factory=dict)
    last: Event | None = None

    def take(self, event: Event) -> None:
        """Add an event, of an earlier start or of this one."""
        extend(self.spans, event)
        if event.kind is EventKind.VALIDATION:
            self._take_report(event)
        elif event.kind is EventKind.FREE_RUNNING:
            self.free_running = event.data
        if event.kind in ARTIFACT_EVENTS:
            self.artifact_events.append(event)
        self.last = event

    def _take_report(self, event: Event) -> None:
        figures = {key: value for key, value in event.data.items() if key not in _NO_FIGURES}
        index = int(event.data["index"])
        self.points[index] = Point(index, figures["loss"], figures["alignment"])
        if event.data["best"] or self.best is None:
            self.best = figures

    @property
    def all_spans(self) -> list[Span]:
        """When its attempts were at work."""
        return merged([*self.worked, *self.spans])

    def metrics(self) -> dict[str, float]:
        """The figures of the best report, and the free-running ones with the prefix `free_running_`."""
        if self.best is None:
            return {}
        named = {"validation_loss" if key == "loss" else key: value for key, value in self.best.items()}
        free = {f"free_running_{key}": value for key, value in self.free_running.items()}
        return {key: value for key, value in (named | free).items() if math.isfinite(value)}


def final_attributes(record: Record, verdict: Verdict, constraints: Mapping[str, float]) -> dict[str, Any]:
    """The user attributes of a finished trial."""
    metrics = record.metrics()
    attributes: dict[str, Any] = {Attr.WORKED: as_pairs(record.all_spans)}
    if metrics:
        attributes[Attr.METRICS] = metrics
    if verdict.cause is not None:
        attributes[Attr.CAUSE] = verdict.cause.value
        attributes[Attr.REASON] = masked(verdict.reason)  # it may end with lines of the log
    if constraints:
        attributes[Attr.FEASIBLE] = all(value <= 0 for value in constraints.values())
    return attributes | flat(metrics, constraints)


def as_pairs(spans: Sequence[Span]) -> list[tuple[float, float]]:
    """For the store: seconds, rounded to milliseconds."""
    return [(round(span.begin, 3), round(span.end, 3)) for span in spans]
