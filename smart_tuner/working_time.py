"""How long trials trained and studies were at work: the one definition, which every limit and every display uses.

An attempt at a trial is at work from its trainer's first event to its last one. A trial has trained for as long as its
attempts took; a study was at work while any of its trials was. So neither the wait between two attempts nor an idle
night counts. The spans are stored with each trial, so that all machines count alike, whoever has the record.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.store.attributes import Attr
from trainer.protocol import Event, EventKind


@dataclass(frozen=True, order=True)
class Span:
    """In seconds since the epoch."""

    begin: float
    end: float


def extend(spans: list[Span], event: Event) -> None:
    """Add the next event of a record to the spans of its attempts."""
    if not spans or event.kind is EventKind.STARTED:
        spans.append(Span(event.time, event.time))
    elif event.time > spans[-1].end:
        spans[-1] = Span(spans[-1].begin, event.time)


def spans_of_record(events: Iterable[Event]) -> list[Span]:
    spans: list[Span] = []
    for event in events:
        extend(spans, event)
    return spans


def stored_spans(trial: FrozenTrial, until: float | None = None) -> list[Span]:
    """As the store has them. until: the end so far of an attempt that runs; None: leave that attempt out."""
    spans = [Span(begin, end) for begin, end in trial.user_attrs.get(Attr.WORKED, [])]
    begun, ended = trial.datetime_start, trial.datetime_complete  # of its last attempt; naive and local
    if trial.state is TrialState.RUNNING and begun is not None and until is not None:
        spans.append(Span(begun.timestamp(), max(begun.timestamp(), until)))
    elif Attr.WORKED not in trial.user_attrs and begun is not None and ended is not None:
        spans.append(Span(begun.timestamp(), ended.timestamp()))  # of a version that stored no spans
    return spans


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that do not overlap, the earliest first."""
    apart: list[Span] = []
    for span in sorted(spans):
        if apart and span.begin <= apart[-1].end:
            apart[-1] = Span(apart[-1].begin, max(apart[-1].end, span.end))
        else:
            apart.append(span)
    return apart


def seconds_at_work(spans: Iterable[Span]) -> float:
    """In which at least one attempt was at work: of one trial its training, of all trials the study's own time."""
    return sum(span.end - span.begin for span in merged(spans))
