"""How long trials trained and studies were at work: the one definition, used by every limit and every display.

An attempt at a trial is at work from its trainer's first event to its last one. The training time of a trial is the sum
over its attempts. A study is at work while any of its trials is. So neither the wait between two attempts nor an idle
night counts. The spans are stored with each trial and its devices, so that machines without its record count the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from optuna.trial import FrozenTrial, TrialState

from smart_tuner.store.attributes import COST_GPU_HOURS, Attr
from trainer.protocol import Event, EventKind


@dataclass(frozen=True)
class Span:
    """In seconds since the epoch. device: cpu or cuda; empty where that is not known."""

    begin: float
    end: float
    device: str = field(default="", compare=False)


def extend(spans: list[Span], event: Event) -> None:
    """Add the next event of a record to the spans of its attempts."""
    if not spans or event.kind is EventKind.STARTED:
        spans.append(Span(event.time, event.time, str(event.data.get("device", "")).partition(":")[0]))
    elif event.time > spans[-1].end:
        spans[-1] = replace(spans[-1], end=event.time)


def spans_of_record(events: Iterable[Event]) -> list[Span]:
    spans: list[Span] = []
    for event in events:
        extend(spans, event)
    return spans


def stored_spans(trial: FrozenTrial, until: float | None = None) -> list[Span]:
    """The stored spans of a trial. until: now, as the end of an attempt that runs; None leaves that attempt out."""
    stored = trial.user_attrs.get(Attr.WORKED, [])
    spans = [Span(begin, end, *(device or [_device_of_all(trial)])) for begin, end, *device in stored]
    begun = trial.datetime_start  # of its last attempt, naive and local, as is its end
    ended = trial.datetime_complete
    if trial.state is TrialState.RUNNING and begun is not None and until is not None:
        spans.append(Span(begun.timestamp(), max(begun.timestamp(), until)))
    elif Attr.WORKED not in trial.user_attrs and begun is not None and ended is not None:
        spans.append(Span(begun.timestamp(), ended.timestamp()))  # from an older version, which stored no spans
    return spans


def _device_of_all(trial: FrozenTrial) -> str:
    """Of a trial of an earlier version, whose spans are pairs: it stored hours on a GPU by the device of the last."""
    hours = trial.user_attrs.get(COST_GPU_HOURS)
    return "" if hours is None else "cuda" if hours else "cpu"


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time as spans that do not overlap, in order."""
    apart: list[Span] = []
    for span in sorted(spans, key=lambda span: span.begin):
        if apart and span.begin <= apart[-1].end:
            last = apart[-1]  # the same attempt, by the store and by the record
            apart[-1] = Span(last.begin, max(last.end, span.end), last.device or span.device)
        else:
            apart.append(span)
    return apart


def seconds_at_work(spans: Iterable[Span]) -> float:
    """The time in which at least one attempt was at work: of a trial, or of a study if the spans are of all trials."""
    return sum(span.end - span.begin for span in merged(spans))


def seconds_by_device(spans: Iterable[Span]) -> Mapping[str, float]:
    """The same time of one trial, whose attempts follow one another, by their devices."""
    found: defaultdict[str, float] = defaultdict(float)
    for span in merged(spans):
        found[span.device] += span.end - span.begin
    return found
