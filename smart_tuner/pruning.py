"""When to prune a trial: a pure function of its reports and those of other trials.

Two things are judged, never on a single noisy report. *Attention*: a voice that has not begun to align by a deadline
will not. *Loss*: compared only with trials that align at the same report, because a model that cannot speak may well
have the lower loss. The result is a cause and a reason with figures, or None.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smart_tuner.spec import PrunerSpec
from smart_tuner.verdict import Cause, with_opening

RISING = 0.1  # a trial whose alignment grew by so much since the last report is not pruned on attention


@dataclass(frozen=True)
class Point:
    """One report, that is, one validation. index: 1..reports, at the same fractions of the budget in every trial."""

    index: int
    loss: float
    alignment: float


Curve = Mapping[int, Point]


@dataclass(frozen=True)
class Prune:
    """A trial should be pruned, and why."""

    cause: Cause
    reason: str


def prune(
    curve: Curve, others: Sequence[Curve], rules: PrunerSpec, reports: int, alignment_floor: float
) -> Prune | None:
    """Why the trial with this curve should stop now, else None.

    curve: its reports so far; others: the curves of all other trials of the study; reports: how many there are in a
    whole budget; alignment_floor: the score from which a model can speak.
    """
    if not curve:
        return None
    last = curve[max(curve)]
    if not math.isfinite(last.loss):
        return _prune(Cause.DIVERGED, f"validation loss {last.loss} at {_share(last, reports)} of the budget")
    if rules.kind == "none" or last.index >= reports or last.index < rules.grace_fraction * reports:
        return None
    recent = [curve[i] for i in range(last.index - rules.patience + 1, last.index + 1) if i in curve]
    if len(recent) < rules.patience:
        return None
    return _attention_fails(recent, rules, reports) or _loss_too_high(recent, others, rules, reports, alignment_floor)


def _attention_fails(recent: Sequence[Point], rules: PrunerSpec, reports: int) -> Prune | None:
    deadline = rules.alignment_deadline
    last = recent[-1]
    if last.index < deadline.fraction * reports or any(p.alignment >= deadline.at_least for p in recent):
        return None
    if len(recent) > 1 and last.alignment >= recent[-2].alignment + RISING:
        return None
    figures = ", ".join(f"{p.alignment:.2f} at {_share(p, reports)}" for p in recent)
    return _prune(
        Cause.ATTENTION,
        f"alignment {figures} of the budget; "
        f"at least {deadline.at_least:.2f} is expected from {deadline.fraction:.0%} on",
    )


def _loss_too_high(
    recent: Sequence[Point], others: Sequence[Curve], rules: PrunerSpec, reports: int, floor: float
) -> Prune | None:
    bars: list[float] = []
    for point in recent:
        same_report = [other[point.index] for other in others if point.index in other]
        aligned = [other.loss for other in same_report if other.alignment >= floor and math.isfinite(other.loss)]
        if point.alignment < floor or len(aligned) < rules.loss_min_peers:
            return None
        bar = _quantile(aligned, rules.loss_quantile)
        if point.loss <= bar:
            return None
        bars.append(bar)
    figures = ", ".join(
        f"{p.loss:.3f} > {bar:.3f} at {_share(p, reports)}" for p, bar in zip(recent, bars, strict=True)
    )
    return _prune(Cause.LOSS, f"{figures} of the budget (bar: quantile {rules.loss_quantile:g})")


def _prune(cause: Cause, figures: str) -> Prune:
    return Prune(cause, with_opening(cause, figures))


def _quantile(values: Sequence[float], quantile: float) -> float:
    ordered = sorted(values)
    if quantile == 0.5:
        return statistics.median(ordered)
    position = quantile * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def _share(point: Point, reports: int) -> str:
    return f"{point.index / reports:.0%}"
