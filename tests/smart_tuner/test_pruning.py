import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import study_spec
from optuna.trial import TrialState, create_trial

from smart_tuner.outcome import Cause
from smart_tuner.pruning import Curve, Point, Prune, prune
from smart_tuner.results import best_trial
from smart_tuner.spec import PrunerSpec
from smart_tuner.store.attributes import Attr
from trainer.objectives import OBJECTIVES, VALIDATION_LOSS

RULES = PrunerSpec()  # grace 0.4, alignment of 0.3 from 0.5 on, patience 2, median of at least 3 trials
REPORTS, FLOOR = 10, 0.5
NAN, INF = math.nan, math.inf
LOSS = OBJECTIVES[VALIDATION_LOSS]
DISTANCE = OBJECTIVES["free_running_distance"]
ALIGNED, UNALIGNED = 0.9, 0.02


def curve(losses: Sequence[float | None], alignments: Sequence[float] | float) -> Curve:
    """Reports from the first on, with the loss as the objective; None: a report that is missing."""
    scores = alignments if isinstance(alignments, Sequence) else [alignments] * len(losses)
    points = zip(range(1, 99), losses, scores, strict=False)
    return {i: point(i, loss, score) for i, loss, score in points if loss is not None}


def point(index: int, loss: float, alignment: float) -> Point:
    return Point(index, loss, alignment, loss if math.isfinite(loss) else None)


def heard(distances: Sequence[float | None], alignment: float = ALIGNED) -> Curve:
    """Reports of the same loss with another figure as the objective; None: not measured."""
    return {i: Point(i, 1.0, alignment, distance) for i, distance in enumerate(distances, 1)}


def constant(*levels: float, alignment: float = ALIGNED) -> list[Curve]:
    return [curve([level] * REPORTS, alignment) for level in levels]


def prune_of(mine: Curve, others: Sequence[Curve] = (), **changes: Any) -> Prune | None:
    objective = changes.pop("objective", LOSS)
    return prune(mine, lambda: others, RULES.model_copy(update=changes), REPORTS, FLOOR, objective)


def reason(mine: Curve, others: Sequence[Curve] = (), **changes: Any) -> str | None:
    pruned = prune_of(mine, others, **changes)
    return pruned.reason if pruned else None


GOOD = constant(1.0, 1.1, 1.2)

# name: curve, other trials' curves, why it is pruned (None: it goes on)
CASES: dict[str, tuple[Curve, Sequence[Curve], Cause | None]] = {
    "nothing reported yet": ({}, GOOD, None),
    "within grace, far too high and not aligned": (curve([9] * 3, UNALIGNED), GOOD, None),
    "after grace, before the attention deadline": (curve([9] * 4, UNALIGNED), GOOD, None),
    "at the deadline, not aligned": (curve([9] * 5, UNALIGNED), [], Cause.ATTENTION),
    "at the deadline, not aligned, with the lower loss": (curve([0.1] * 5, UNALIGNED), GOOD, Cause.ATTENTION),
    "one unaligned report after an aligned one": (curve([1] * 5, [0.1, 0.2, 0.3, 0.4, UNALIGNED]), [], None),
    "one aligned report after an unaligned one": (curve([1] * 5, [UNALIGNED] * 4 + [0.3]), [], None),
    "just below what is expected": (curve([1] * 5, 0.299), [], Cause.ATTENTION),
    "rising by enough": (curve([1] * 5, [0.02, 0.02, 0.03, 0.05, 0.16]), [], None),
    "rising by too little": (curve([1] * 5, [0.02, 0.02, 0.03, 0.05, 0.14]), [], Cause.ATTENTION),
    "rose once, then no longer": (curve([1] * 6, [0.02, 0.02, 0.03, 0.05, 0.2, 0.21]), [], Cause.ATTENTION),
    "a report is missing among the recent ones": (curve([1, 1, 1, None, 1], UNALIGNED), [], None),
    "not aligned at the last report": (curve([9] * 10, UNALIGNED), GOOD, None),
    "aligned, loss above the median twice": (curve([9] * 4, ALIGNED), GOOD, Cause.LOSS),
    "aligned, loss above the median once": (curve([1, 1, 1, 9], ALIGNED), GOOD, None),
    "aligned, loss above the median, then below": (curve([1, 1, 9, 1.05], ALIGNED), GOOD, None),
    "aligned, loss at the median": (curve([1.1] * 4, ALIGNED), GOOD, None),
    "aligned, loss just above the median": (curve([1.101] * 4, ALIGNED), GOOD, Cause.LOSS),
    "loss above the median within grace": (curve([9] * 3, ALIGNED), GOOD, None),
    "loss above the median at the last report": (curve([9] * 10, ALIGNED), GOOD, None),
    "too few other trials": (curve([9] * 4, ALIGNED), GOOD[:2], None),
    "other trials that have not come so far": (curve([9] * 4, ALIGNED), [curve([1] * 3, ALIGNED)] * 5, None),
    "other trials of lower loss that do not align": (
        curve([1.15] * 4, ALIGNED),
        constant(*[0.5] * 9, alignment=UNALIGNED),
        None,
    ),
    "trials that do not align do not lower the bar": (
        curve([1.05] * 4, ALIGNED),
        [*GOOD, *constant(*[0.5] * 9, alignment=UNALIGNED)],
        None,
    ),
    "other trials that aligned only later": (
        curve([9] * 4, ALIGNED),
        [curve([1] * 10, [UNALIGNED] * 3 + [ALIGNED] * 7)] * 5,
        None,
    ),
    "other trials that diverged": (curve([9] * 4, ALIGNED), [*GOOD[:2], *constant(NAN, INF)], None),
    "not aligned itself: its loss is not compared": (curve([9] * 4, 0.49), GOOD, None),
    "aligned in only one of the recent reports": (curve([9] * 4, [0.1, 0.2, 0.4, 0.9]), GOOD, None),
    "not finite, at the very first report": (curve([NAN], UNALIGNED), GOOD, Cause.DIVERGED),
    "infinite, at the last report": (curve([1] * 9 + [INF], ALIGNED), GOOD, Cause.DIVERGED),
}


@pytest.mark.parametrize(("mine", "others", "cause"), CASES.values(), ids=CASES)
def test_a_trial_is_pruned(mine: Curve, others: Sequence[Curve], cause: Cause | None) -> None:
    found = prune_of(mine, others)
    assert (found.cause if found else None) is cause, found


def test_the_reason_holds_the_figures() -> None:
    assert reason(curve([9] * 5, [0, 0, 0, 0.04, 0.06])) == (
        "attention does not align: alignment 0.04 at 40%, 0.06 at 50% of the budget; "
        "at least 0.30 is expected from 50% on"
    )
    assert reason(curve([1, 1, 1.25, 1.5], ALIGNED), GOOD) == (
        "loss too high among trials that align: 1.250 > 1.100 at 30%, 1.500 > 1.100 at 40% of the budget "
        "(bar: quantile 0.5)"
    )
    assert reason(curve([NAN], UNALIGNED)) == "diverged: validation loss nan at 10% of the budget"


@pytest.mark.parametrize(
    ("quantile", "bar"), [(0.5, 3.0), (0.25, 2.0), (0.75, 4.0), (0.9, 4.6), (0.1, 1.4), (0.01, 1.04), (0.99, 4.96)]
)
def test_the_bar_is_a_quantile_of_the_other_trials(quantile: float, bar: float) -> None:
    five = constant(5, 3, 1, 2, 4)
    assert reason(curve([bar - 0.001] * 4, ALIGNED), five, loss_quantile=quantile) is None
    assert reason(curve([bar + 0.001] * 4, ALIGNED), five, loss_quantile=quantile)


def test_patience_is_the_number_of_reports_that_must_agree() -> None:
    unaligned_since_the_fourth = curve([1] * 6, [0.4] * 3 + [UNALIGNED] * 3)
    assert reason(unaligned_since_the_fourth, patience=3)
    assert reason(unaligned_since_the_fourth, patience=4) is None
    assert reason(curve([1] * 5, [0.4] * 4 + [0.01]), patience=1)


def test_without_a_pruner_only_divergence_prunes_a_trial() -> None:
    assert reason(curve([9] * 8, UNALIGNED), GOOD, kind="none") is None
    assert reason(curve([NAN], UNALIGNED), GOOD, kind="none") == "diverged: validation loss nan at 10% of the budget"


# What is heard as the objective: measured only at some reports, which are not always the same.
HEARD = [heard([None, level, level, level, level, None, level]) for level in (6.0, 6.5, 7.0)]
HEARD_CASES: dict[str, tuple[Curve, Cause | None]] = {
    "worse at the last two measured reports": (heard([None, 8, None, 8]), Cause.SPEECH),
    "worse at one of them": (heard([None, 6.4, None, 8]), None),
    "measured only once": (heard([None, None, None, 8]), None),
    "not measured at this report": (heard([None, 8, None, 8, 8, None]), None),
    "worse within grace": (heard([None, 8, 8]), None),
    "no worse than the others": (heard([None, 6.5, None, 6.5]), None),
    "not aligned": (heard([None, 8, None, 8], alignment=0.4), None),
}


@pytest.mark.parametrize(("mine", "cause"), HEARD_CASES.values(), ids=HEARD_CASES)
def test_a_trial_is_pruned_by_what_is_heard_where_it_was_measured(mine: Curve, cause: Cause | None) -> None:
    found = prune_of(mine, HEARD, objective=DISTANCE)
    assert (found.cause if found else None) is cause, found


def test_without_grace_a_trial_is_pruned_earlier() -> None:
    pruned = prune_of(HEARD_CASES["worse within grace"][0], HEARD, objective=DISTANCE, grace_fraction=0.01)
    assert pruned is not None
    assert pruned.cause is Cause.SPEECH


@pytest.mark.parametrize(
    "mine",
    [
        heard([None, 8, 8]),
        heard([None, None, None, 8]),
        heard([None, 8, None, 8, 8, None]),
        heard([None, 8, None, 8], alignment=0.4),
        curve([9] * 5, UNALIGNED),
        curve([NAN], UNALIGNED),
    ],
    ids=["within grace", "measured once", "not measured now", "below the floor", "not aligned", "diverged"],
)
def test_other_trials_are_read_only_where_it_is_compared_with_them(mine: Curve) -> None:
    def refuse() -> Sequence[Curve]:
        raise AssertionError("the other trials were read")

    prune(mine, refuse, RULES, REPORTS, FLOOR, DISTANCE)
    prune(heard([None, 8, None, 8]), refuse, RULES.model_copy(update={"kind": "none"}), REPORTS, FLOOR, DISTANCE)
    with pytest.raises(AssertionError, match="were read"):
        prune(heard([None, 8, None, 8]), refuse, RULES, REPORTS, FLOOR, DISTANCE)


def test_the_reason_names_the_figure_that_is_heard() -> None:
    assert reason(heard([None, 8, None, 9]), HEARD, objective=DISTANCE) == (
        "speech worse than that of other trials: distance 8.000 > 6.500 at 20%, 9.000 > 6.500 at 40% of the budget "
        "(bar: quantile 0.5)"
    )


# Recordings of one configuration with and without guided attention: the lower loss is not the voice that speaks.

RECORDED: dict[str, list[dict[str, float]]] = json.loads(
    (Path(__file__).parent / "data" / "guided_attention_off.json").read_text(encoding="utf-8")
)


def recorded(name: str) -> Curve:
    return {int(p["index"]): point(int(p["index"]), p["loss"], p["alignment"]) for p in RECORDED[name]}


def test_without_guidance_the_loss_is_as_low_although_nothing_aligns() -> None:
    guided, unguided = recorded("guided"), recorded("unguided")
    assert guided.keys() == unguided.keys()
    early = [i for i in guided if i <= len(guided) / 2]
    assert any(unguided[i].loss <= guided[i].loss for i in early)
    assert all(p.alignment < 0.15 for p in unguided.values())
    assert guided[max(guided)].alignment >= 0.8


@pytest.mark.parametrize("known", [0, 1, 4], ids=["alone", "one other trial of each kind", "four of each kind"])
def test_the_trial_without_guidance_is_pruned_on_attention_and_the_guided_one_never(known: int) -> None:
    guided, unguided = recorded("guided"), recorded("unguided")
    others = [guided, unguided] * known

    def first_cause(mine: Curve) -> Cause | None:
        parts = ({i: p for i, p in mine.items() if i <= upto} for upto in mine)
        judged = (prune(part, lambda: others, RULES, len(mine), FLOOR, LOSS) for part in parts)
        return next((pruned.cause for pruned in judged if pruned), None)

    assert first_cause(unguided) is Cause.ATTENTION
    assert first_cause(guided) is None


def test_the_trial_without_guidance_is_never_the_best() -> None:
    study = optuna.create_study()
    assert recorded("unguided")[10].loss < recorded("guided")[10].loss
    for name in ("unguided", "guided"):
        mine = recorded(name)
        last = mine[max(mine)]
        feasible = last.alignment >= study_spec().constraints.alignment.at_least
        attrs = {Attr.FEASIBLE: feasible, Attr.METRICS: {"alignment": last.alignment}, "name": name}
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=last.loss, user_attrs=attrs))
        best = best_trial(study)
        assert (best.user_attrs["name"] if best else None) == (None if name == "unguided" else "guided")
