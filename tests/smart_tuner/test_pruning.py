import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import study_spec
from optuna.trial import TrialState, create_trial

from smart_tuner.pruning import Curve, Point, Prune, prune
from smart_tuner.results import best_trial
from smart_tuner.spec import PrunerSpec
from smart_tuner.store.attributes import Attr
from smart_tuner.verdict import Cause

RULES = PrunerSpec()  # grace 0.4, alignment of 0.3 from 0.5 on, patience 2, median of at least 3 peers
REPORTS, FLOOR = 10, 0.5
NAN, INF = math.nan, math.inf
ALIGNED, DEAF = 0.9, 0.02


def curve(losses: Sequence[float | None], alignments: Sequence[float] | float) -> Curve:
    """Reports from the first on; None: a report that is missing."""
    scores = alignments if isinstance(alignments, Sequence) else [alignments] * len(losses)
    points = zip(range(1, 99), losses, scores, strict=False)
    return {i: Point(i, loss, score) for i, loss, score in points if loss is not None}


def peers(*levels: float, alignment: float = ALIGNED) -> list[Curve]:
    return [curve([level] * REPORTS, alignment) for level in levels]


def given_up(mine: Curve, others: Sequence[Curve] = (), **changes: Any) -> Prune | None:
    return prune(mine, others, RULES.model_copy(update=changes), REPORTS, FLOOR)


def reason(mine: Curve, others: Sequence[Curve] = (), **changes: Any) -> str | None:
    pruned = given_up(mine, others, **changes)
    return pruned.reason if pruned else None


GOOD = peers(1.0, 1.1, 1.2)

# name: curve, peers, why it is given up (None: the trial goes on)
CASES: dict[str, tuple[Curve, Sequence[Curve], Cause | None]] = {
    "nothing reported yet": ({}, GOOD, None),
    "within grace, far too high and deaf": (curve([9] * 3, DEAF), GOOD, None),
    "after grace, before the attention deadline": (curve([9] * 4, DEAF), GOOD, None),
    "at the deadline, deaf": (curve([9] * 5, DEAF), [], Cause.ATTENTION),
    "at the deadline, deaf, with the lower loss": (curve([0.1] * 5, DEAF), GOOD, Cause.ATTENTION),
    "one deaf report after an aligned one": (curve([1] * 5, [0.1, 0.2, 0.3, 0.4, DEAF]), [], None),
    "one aligned report after a deaf one": (curve([1] * 5, [DEAF] * 4 + [0.3]), [], None),
    "just below what is expected": (curve([1] * 5, 0.299), [], Cause.ATTENTION),
    "rising by enough": (curve([1] * 5, [0.02, 0.02, 0.03, 0.05, 0.16]), [], None),
    "rising by too little": (curve([1] * 5, [0.02, 0.02, 0.03, 0.05, 0.14]), [], Cause.ATTENTION),
    "rose once, then no more": (curve([1] * 6, [0.02, 0.02, 0.03, 0.05, 0.2, 0.21]), [], Cause.ATTENTION),
    "a report is missing among the recent ones": (curve([1, 1, 1, None, 1], DEAF), [], None),
    "deaf at the last report": (curve([9] * 10, DEAF), GOOD, None),
    "aligned, loss above the median twice": (curve([9] * 4, ALIGNED), GOOD, Cause.LOSS),
    "aligned, loss above the median once": (curve([1, 1, 1, 9], ALIGNED), GOOD, None),
    "aligned, loss above the median, then below": (curve([1, 1, 9, 1.05], ALIGNED), GOOD, None),
    "aligned, loss at the median": (curve([1.1] * 4, ALIGNED), GOOD, None),
    "aligned, loss just above the median": (curve([1.101] * 4, ALIGNED), GOOD, Cause.LOSS),
    "loss above the median within grace": (curve([9] * 3, ALIGNED), GOOD, None),
    "loss above the median at the last report": (curve([9] * 10, ALIGNED), GOOD, None),
    "too few peers": (curve([9] * 4, ALIGNED), GOOD[:2], None),
    "peers that have not come so far": (curve([9] * 4, ALIGNED), [curve([1] * 3, ALIGNED)] * 5, None),
    "peers of lower loss that do not align": (curve([1.15] * 4, ALIGNED), peers(*[0.5] * 9, alignment=DEAF), None),
    "they do not lower the bar of those that do": (
        curve([1.05] * 4, ALIGNED),
        [*GOOD, *peers(*[0.5] * 9, alignment=DEAF)],
        None,
    ),
    "peers that aligned only later": (
        curve([9] * 4, ALIGNED),
        [curve([1] * 10, [DEAF] * 3 + [ALIGNED] * 7)] * 5,
        None,
    ),
    "peers that diverged": (curve([9] * 4, ALIGNED), [*GOOD[:2], *peers(NAN, INF)], None),
    "not aligned itself: its loss is compared with nobody's": (curve([9] * 4, 0.49), GOOD, None),
    "aligned in but one of the recent reports": (curve([9] * 4, [0.1, 0.2, 0.4, 0.9]), GOOD, None),
    "not finite, at the very first report": (curve([NAN], DEAF), GOOD, Cause.DIVERGED),
    "infinite, at the last report": (curve([1] * 9 + [INF], ALIGNED), GOOD, Cause.DIVERGED),
}


@pytest.mark.parametrize(("mine", "others", "cause"), CASES.values(), ids=CASES)
def test_a_trial_is_given_up(mine: Curve, others: Sequence[Curve], cause: Cause | None) -> None:
    given = given_up(mine, others)
    assert (given.cause if given else None) is cause, given


def test_the_reason_holds_the_figures() -> None:
    assert reason(curve([9] * 5, [0, 0, 0, 0.04, 0.06])) == (
        "attention does not align: alignment 0.04 at 40%, 0.06 at 50% of the budget; "
        "at least 0.30 is expected from 50% on"
    )
    assert reason(curve([1, 1, 1.25, 1.5], ALIGNED), GOOD) == (
        "loss too high among trials that align: 1.250 > 1.100 at 30%, 1.500 > 1.100 at 40% of the budget "
        "(bar: quantile 0.5)"
    )
    assert reason(curve([NAN], DEAF)) == "diverged: validation loss nan at 10% of the budget"


@pytest.mark.parametrize(
    ("quantile", "bar"), [(0.5, 3.0), (0.25, 2.0), (0.75, 4.0), (0.9, 4.6), (0.1, 1.4), (0.01, 1.04), (0.99, 4.96)]
)
def test_the_bar_is_a_quantile_of_the_peers(quantile: float, bar: float) -> None:
    five = peers(5, 3, 1, 2, 4)
    assert reason(curve([bar - 0.001] * 4, ALIGNED), five, loss_quantile=quantile) is None
    assert reason(curve([bar + 0.001] * 4, ALIGNED), five, loss_quantile=quantile)


def test_patience_is_the_number_of_reports_that_must_agree() -> None:
    deaf_since_the_fourth = curve([1] * 6, [0.4] * 3 + [DEAF] * 3)
    assert reason(deaf_since_the_fourth, patience=3)
    assert reason(deaf_since_the_fourth, patience=4) is None
    assert reason(curve([1] * 5, [0.4] * 4 + [0.01]), patience=1)


def test_without_a_pruner_only_divergence_ends_a_trial() -> None:
    assert reason(curve([9] * 8, DEAF), GOOD, kind="none") is None
    assert reason(curve([NAN], DEAF), GOOD, kind="none") == "diverged: validation loss nan at 10% of the budget"


# One recipe with and without guided attention, as recorded: the lower loss is not the voice that speaks.

RECORDED: dict[str, list[dict[str, float]]] = json.loads(
    (Path(__file__).parent / "data" / "guided_attention_off.json").read_text(encoding="utf-8")
)


def recorded(name: str) -> Curve:
    return {int(p["index"]): Point(int(p["index"]), p["loss"], p["alignment"]) for p in RECORDED[name]}


def test_recorded_without_guidance_the_loss_is_as_low_while_nothing_aligns() -> None:
    guided, unguided = recorded("guided"), recorded("unguided")
    assert guided.keys() == unguided.keys()
    early = [i for i in guided if i <= len(guided) / 2]
    assert any(unguided[i].loss <= guided[i].loss for i in early)
    assert all(p.alignment < 0.15 for p in unguided.values())
    assert guided[max(guided)].alignment >= 0.8


@pytest.mark.parametrize("known", [0, 1, 4], ids=["alone", "one peer", "four peers of each kind"])
def test_recorded_the_one_without_guidance_is_stopped_for_attention_and_the_guided_never(known: int) -> None:
    guided, unguided = recorded("guided"), recorded("unguided")
    others = [guided, unguided] * known

    def first_cause(mine: Curve) -> Cause | None:
        parts = ({i: p for i, p in mine.items() if i <= upto} for upto in mine)
        return next((pruned.cause for part in parts if (pruned := prune(part, others, RULES, len(mine), FLOOR))), None)

    assert first_cause(unguided) is Cause.ATTENTION
    assert first_cause(guided) is None


def test_recorded_the_one_without_guidance_is_never_the_best() -> None:
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
