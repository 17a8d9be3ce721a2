"""Which paused trial a free worker continues, and which loses its checkpoint first: pure functions of curves.

When a trial pauses: `smart_tuner.pruning`.
"""

import math
from collections.abc import Mapping, Sequence

from smart_tuner.pruning import Curve, rungs, standing
from smart_tuner.spec import PrunerSpec
from trainer.objectives import Objective

# Left to a study: from here on it finishes what it has, before it begins anything. More than one, since some settings
# take longer than the usual one. By `benchmarks.time_limits`; with 1.5, several workers begin too little.
LAST_BUDGETS = 1.2


def worthiest(
    paused: Mapping[int, Curve],
    others: Sequence[Curve],
    rules: PrunerSpec,
    reports: int,
    alignment_floor: float,
    objective: Objective,
    *,
    may_begin: bool,
    left: float = math.inf,
) -> int | None:
    """The number of the paused trial that a free worker continues.

    None: it begins a new one; where `may_begin` is false, nothing is worth it. paused: by trial number; others: the
    curves of all other trials; left: budgets that one trial can train before the study's time is up; the rest as for
    `pruning.prune`.

    Of the trials that have reached a rung, one in eta goes on, the furthest rung first. While new ones may begin the
    number is rounded down, afterwards up, so that at least one trial of a study trains to its end. Where the time is
    nearly up it is rounded up for those that can still come to their ends.
    """
    if rules.kind != "promotion":  # the study's rules have changed: nothing pauses any longer
        return min(paused, default=None)
    if left < LAST_BUDGETS:
        spare = left * reports + 0.5  # frames are counted at reports, up to a batch later
        in_time = {number: curve for number, curve in paused.items() if reports - max(curve, default=0) <= spare}
        chosen = worthiest(in_time, others, rules, reports, alignment_floor, objective, may_begin=False)
        if chosen is not None:
            return chosen
    marks = rungs(rules, reports)
    at = {number: last_rung(curve, marks) for number, curve in paused.items()}
    for rung in reversed(marks):
        waiting = [number for number in paused if at[number] == rung]
        gone_on = [*others, *(paused[number] for number in paused if at[number] > rung)]
        # Of equals, those that have gone on come first, then by number.
        ranked = sorted(
            [(standing(curve, rung, alignment_floor), -1) for curve in gone_on if curve and max(curve) >= rung]
            + [(standing(paused[number], rung, alignment_floor), number) for number in waiting]
        )
        places = len(ranked) // rules.eta if may_begin else -(-len(ranked) // rules.eta)
        if worth := [number for _, number in ranked[:places] if number >= 0]:
            return worth[0]
    return min((number for number in paused if not at[number]), default=None)  # the rungs were earlier ones


def last_rung(curve: Curve, marks: Sequence[int]) -> int:
    """The report of the furthest rung, of `marks`, that a trial has reached; 0: none."""
    last = max(curve, default=0)
    return max((rung for rung in marks if rung <= last), default=0)


def least_worth(paused: Mapping[int, Curve], rules: PrunerSpec, reports: int, alignment_floor: float) -> int:
    """The number of the paused trial whose checkpoint is given up first: of the earliest rung, the worst there."""

    marks = rungs(rules, reports)

    def worth(number: int) -> tuple[int, tuple[int, float, float]]:
        curve = paused[number]
        rung = last_rung(curve, marks)
        return -rung, standing(curve, rung, alignment_floor) if rung else (2, 0.0, 0.0)

    return max(paused, key=lambda number: (worth(number), number))
