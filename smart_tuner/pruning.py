"""When to prune or pause a trial: a pure function of its reports and those of other trials.

Two things are judged, never on a single noisy report. *Attention*: a voice that has not begun to align by a deadline
will not. *The study's objective*: compared only with trials that align at the same report, because a model that cannot
speak may well have the lower loss; reports without the figure are not compared. The result is a reason with figures, of
a pruned trial with its cause, or None.

With `pruner.kind` `promotion`, a trial is judged at rungs alone, and pauses there; `smart_tuner.promotion` says which
paused trial goes on.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from smart_tuner.figures import objective as figure_of
from smart_tuner.outcome import Cause, with_opening
from smart_tuner.spec import PrunerSpec
from trainer.objectives import Objective

# At a rung, better alignment up to here promises a better voice; beyond, what is heard says more (docs/search.md).
ALIGNS_WELL = 0.8
RISING = 0.1  # a trial whose alignment grew by so much since the last report is not pruned on attention


@dataclass(frozen=True)
class Point:
    """One report, that is, one validation. index: 1..reports, at the same fractions of the budget in every trial."""

    index: int
    loss: float
    alignment: float
    value: float | None = None  # the figure that the study optimises; None: not measured, or not finite


Curve = Mapping[int, Point]
Others = Callable[[], Sequence[Curve]]  # reads the curves of all other trials


@dataclass(frozen=True)
class Prune:
    """A trial should be pruned, and why."""

    cause: Cause
    reason: str


@dataclass(frozen=True)
class Pause:
    """A trial should pause, and why: others are worth more for now. It can go on from its checkpoint."""

    reason: str


def prune(
    curve: Curve,
    others: Others,
    rules: PrunerSpec,
    reports: int,
    alignment_floor: float,
    objective: Objective,
    earlier: Sequence[Curve] = (),
) -> Prune | Pause | None:
    """Why the trial with this curve should stop or pause now, else None.

    curve: its reports so far; others: called only where the trial is compared; reports: how many there are in a whole
    budget; alignment_floor: the score from which a model can speak; objective: what a `value` is; earlier: curves of
    other studies with the same budget, which count at a rung that few of its own study have reached.
    """
    if not curve:
        return None
    last = curve[max(curve)]
    if not math.isfinite(last.loss):
        return _prune(Cause.DIVERGED, f"validation loss {last.loss} at {_share(last, reports)} of the budget")
    if rules.kind == "none" or last.index >= reports:
        return None
    if rules.kind == "promotion":
        return _pause(curve, others, rules, reports, alignment_floor, objective, earlier)
    if last.index < rules.grace_fraction * reports:
        return None
    return _attention_fails(curve, rules, reports) or _worse_than_others(
        curve, others, rules, reports, alignment_floor, objective
    )


def _attention_fails(curve: Curve, rules: PrunerSpec, reports: int) -> Prune | None:
    deadline = rules.alignment_deadline
    last = curve[max(curve)]
    recent = [curve[i] for i in range(last.index - rules.patience + 1, last.index + 1) if i in curve]
    if len(recent) < rules.patience:
        return None
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


def _worse_than_others(
    curve: Curve, others: Others, rules: PrunerSpec, reports: int, floor: float, objective: Objective
) -> Prune | None:
    """By the last reports that have the figure; only at a report that has it."""
    measured = [(curve[index], value) for index in sorted(curve) if (value := curve[index].value) is not None]
    recent = measured[-rules.patience :]
    if len(recent) < rules.patience or recent[-1][0].index != max(curve):
        return None
    if any(point.alignment < floor for point, _ in recent):
        return None
    curves = others()
    compared: list[str] = []
    for point, value in recent:
        same_report = [other[point.index] for other in curves if point.index in other]
        peers = [p.value for p in same_report if p.value is not None and p.alignment >= floor]
        if len(peers) < rules.loss_min_peers:
            return None
        bar = _quantile(peers, rules.loss_quantile)
        if value <= bar:
            return None
        compared.append(f"{value:.3f} > {bar:.3f} at {_share(point, reports)}")
    figures = f"{', '.join(compared)} of the budget (bar: quantile {rules.loss_quantile:g})"
    if objective.is_heard:
        return _prune(Cause.SPEECH, f"{figure_of(objective.metric).column} {figures}")
    return _prune(Cause.LOSS, figures)


def _pause(
    curve: Curve,
    others: Others,
    rules: PrunerSpec,
    reports: int,
    floor: float,
    objective: Objective,
    earlier: Sequence[Curve],
) -> Pause | None:
    """Successive halving without barriers (Li et al. 2018, arXiv:1810.05934): of those at a rung, a share goes on."""
    rung = max(curve)
    if rung not in rungs(rules, reports):
        return None
    mine = standing(curve, rung, floor)
    there_before = [other for other in others() if other and max(other) >= rung]
    # Of equals, those that were there before come first.
    better = sum(standing(other, rung, floor) <= mine for other in there_before)
    there = len(there_before) + 1
    if better < there // rules.eta:
        return None
    if earlier and there <= rules.eta and _aligns_as_the_best([*there_before, *earlier], curve, rung, rules.eta):
        return None
    point = curve[rung]
    measured = mine[0] == 0 and point.value is not None
    figure = (
        f"{figure_of(objective.metric).column} {point.value:.3f}" if measured else f"alignment {point.alignment:.2f}"
    )
    return Pause(
        f"{figure} at {_share(point, reports)} of the budget: {better} of {there} trials are as good there or better, "
        f"and {there // rules.eta} may go on"
    )


def _aligns_as_the_best(others: Sequence[Curve], curve: Curve, rung: int, eta: int) -> bool:
    """Whether its alignment is among the best of all at the rung, one in `eta`. What is heard depends on the corpus."""
    scores = [_point_at(other, rung).alignment for other in others if other and max(other) >= rung]
    return sum(score >= curve[rung].alignment for score in scores) < (len(scores) + 1) // eta


def rungs(rules: PrunerSpec, reports: int) -> tuple[int, ...]:
    """The reports, in order, at which trials pause: the first ones from these shares of the budget on."""
    found = {math.ceil(share * reports - 1e-9) for share in rules.rungs}  # 0.3 * 10 is not quite 3
    return tuple(sorted(rung for rung in found if rung < reports))


def standing(curve: Curve, rung: int, alignment_floor: float) -> tuple[int, float, float]:
    """How good a trial was at a rung that it has reached; less is better.

    Trials that align well there, and were measured, come first, by the objective; then all others, by their alignment.
    """
    point = _point_at(curve, rung)
    value = math.inf if point.value is None else point.value
    if point.alignment >= max(alignment_floor, ALIGNS_WELL) and point.value is not None:
        return 0, value, 0.0
    return 1, -point.alignment, value


def _point_at(curve: Curve, rung: int) -> Point:
    """The report there. Of a trial that lacks it, the next one counts."""
    return curve.get(rung) or curve[min(index for index in curve if index > rung)]


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
