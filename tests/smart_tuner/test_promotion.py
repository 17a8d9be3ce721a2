"""Which trials pause at a rung, which paused one goes on, and which loses its checkpoint first."""

import math
from collections.abc import Sequence

import pytest
from lab import study_spec

from smart_tuner.errors import StudyError
from smart_tuner.promotion import least_worth, worthiest
from smart_tuner.pruning import Curve, Pause, Point, Prune, prune, rungs
from smart_tuner.spec import PrunerSpec
from trainer.objectives import OBJECTIVES

RULES = PrunerSpec(kind="promotion")
REPORTS, FLOOR = 10, 0.5
FIRST, SECOND = 1, 3  # the rungs of ten reports
DISTANCE = OBJECTIVES["free_running_distance"]


def curve(last: int, distance: float | None = None, alignment: float = 0.9) -> Curve:
    """A trial that has come to the report `last`; distance: None is one that does not align."""
    score = 0.1 * alignment if distance is None else alignment
    return {index: Point(index, 1.0, score, distance) for index in range(1, last + 1)}


def judged(
    mine: Curve, others: Sequence[Curve] = (), rules: PrunerSpec = RULES, earlier: Sequence[Curve] = ()
) -> Prune | Pause | None:
    return prune(mine, lambda: others, rules, REPORTS, FLOOR, DISTANCE, earlier)


def chosen(
    paused: dict[int, Curve], others: Sequence[Curve] = (), *, may_begin: bool = True, left: float = math.inf
) -> int | None:
    return worthiest(paused, others, RULES, REPORTS, FLOOR, DISTANCE, may_begin=may_begin, left=left)


@pytest.mark.parametrize(
    ("shares", "reports", "expected"),
    [
        ((0.1, 0.3), 10, (1, 3)),
        ((0.1, 0.3), 4, (1, 2)),
        ((0.3, 0.1, 0.11), 20, (2, 3, 6)),
        ((0.95, 0.5), 10, (5,)),
        ((), 10, ()),
    ],
)
def test_rungs_are_the_first_reports_from_their_shares_on(
    shares: tuple[float, ...], reports: int, expected: tuple[int, ...]
) -> None:
    assert rungs(PrunerSpec(kind="promotion", rungs=shares), reports) == expected


def test_a_trial_pauses_at_rungs_alone() -> None:
    others = [curve(10, 5.0)] * 6
    assert [last for last in range(1, 11) if judged(curve(last, 9.0), others)] == [FIRST, SECOND]


def test_the_first_at_a_rung_pauses_and_the_best_of_three_goes_on() -> None:
    assert judged(curve(FIRST, 5.0)) is not None
    assert judged(curve(FIRST, 5.0), [curve(FIRST, 6.0), curve(FIRST, 7.0)]) is None
    assert judged(curve(FIRST, 6.0), [curve(FIRST, 5.0), curve(FIRST, 7.0)]) is not None
    assert judged(curve(FIRST, 5.0), [curve(FIRST, 5.0), curve(FIRST, 7.0)]) is not None  # the other came first


def test_curves_of_other_studies_let_the_first_go_on_and_make_no_one_pause() -> None:
    def aligned(alignment: float, distance: float = 9.0) -> Curve:
        return curve(FIRST, distance, alignment)

    earlier = [aligned(score, 1.0) for score in (0.1, 0.2, 0.3, 0.6, 0.7)]
    assert judged(aligned(0.5)) is not None
    assert judged(aligned(0.9, 9.0), [aligned(0.85, 7.0), aligned(0.8, 8.0)]) is not None  # without, by what is heard
    assert judged(aligned(0.65), earlier=earlier) is None  # one is better, of six: their distances do not count
    assert judged(aligned(0.5), earlier=earlier) is not None
    assert judged(aligned(0.65), [aligned(0.7)], earlier=earlier) is not None  # two are better, of seven
    mute = [aligned(0.01)] * 20
    assert judged(aligned(0.5), [aligned(0.6)] * (RULES.eta - 1), earlier=mute) is None
    assert judged(aligned(0.5), [aligned(0.6)] * RULES.eta, earlier=mute) is not None  # the own study tells enough
    assert judged(aligned(0.5), [aligned(0.4)] * 2, earlier=[aligned(0.9)] * 9) is None


def test_the_reason_has_the_figures() -> None:
    heard = judged(curve(FIRST, 6.0), [curve(SECOND, 5.0), {}, curve(FIRST, 7.0)])
    mute = judged(curve(SECOND), [curve(SECOND, 5.0)])
    assert heard == Pause(
        "distance 6.000 at 10% of the budget: 1 of 3 trials are as good there or better, and 1 may go on"
    )
    assert mute == Pause(
        "alignment 0.09 at 30% of the budget: 1 of 2 trials are as good there or better, and 0 may go on"
    )


def test_those_that_align_come_before_those_that_do_not() -> None:
    others = [curve(FIRST, None, alignment) for alignment in (0.8, 1.0)]
    assert judged(curve(FIRST, 11.0), others) is None
    assert chosen({4: curve(FIRST, None, 1.0), 5: curve(FIRST, 11.0), 6: curve(FIRST, None, 0.5)}) == 5
    assert chosen({4: curve(FIRST, None, 0.8), 5: curve(FIRST, None, 0.9), 6: curve(FIRST, None, 0.5)}) == 5


def test_among_those_that_do_not_align_well_yet_alignment_counts_and_not_what_is_heard() -> None:
    assert chosen({4: curve(FIRST, 9.0, 0.6), 5: curve(FIRST, 11.0, 0.7), 6: curve(FIRST, 10.0, 0.65)}) == 5
    assert chosen({4: curve(FIRST, 9.0, 0.81), 5: curve(FIRST, 11.0, 0.9), 6: curve(FIRST, 10.0, 0.85)}) == 4


def test_divergence_ends_a_trial_at_once() -> None:
    assert isinstance(judged({1: Point(1, float("nan"), 0.0)}), Prune)


def test_a_new_trial_begins_until_one_in_three_is_worth_more() -> None:
    assert chosen({0: curve(FIRST, 5.0), 1: curve(FIRST, 6.0)}) is None
    assert chosen({0: curve(FIRST, 6.0), 1: curve(FIRST, 5.0), 2: curve(FIRST, 7.0)}) == 1
    gone_on = [curve(FIRST + 1, 4.0)]
    assert chosen({0: curve(FIRST, 6.0), 2: curve(FIRST, 7.0)}, gone_on) is None
    assert chosen({n: curve(FIRST, 6.0 + n) for n in range(5)}, gone_on) == 0


def test_the_furthest_rung_comes_first() -> None:
    paused = {n: curve(FIRST, 5.0 + n) for n in range(3)} | {n: curve(SECOND, 8.0 + n) for n in range(3, 6)}
    assert chosen(paused) == 3


def test_at_the_end_one_trial_at_least_trains_on_and_then_nothing_is_worth_it() -> None:
    assert chosen({0: curve(SECOND, 6.0), 1: curve(FIRST, 7.0)}, may_begin=False) == 0
    done = [curve(10, 6.0)]
    assert chosen({1: curve(FIRST, 7.0), 2: curve(FIRST, 8.0)}, done, may_begin=False) is None
    assert chosen({1: curve(FIRST, 5.0), 2: curve(FIRST, 8.0)}, done, may_begin=False) == 1  # better than what went on
    assert chosen({}, done, may_begin=False) is None


def test_equal_trials_do_not_all_go_on() -> None:
    paused = {n: curve(FIRST, 5.0) for n in range(6)}
    assert chosen(paused) == 0
    assert chosen({n: paused[n] for n in range(1, 6)}, [curve(10, 5.0)]) == 1
    assert chosen({n: paused[n] for n in range(2, 6)}, [curve(10, 5.0)] * 2) is None


def test_near_the_end_of_the_time_the_best_that_can_come_to_its_end_goes_on() -> None:
    paused = {0: curve(FIRST, 9.0), 1: curve(FIRST, 8.0)}
    assert [chosen(paused, left=left) for left in (1.2, 1.1, 0.86, 0.84)] == [None, 1, 1, None]
    paused[2] = curve(SECOND, 7.0)
    assert [chosen(paused, left=left) for left in (1.2, 1.1, 0.84, 0.64)] == [None, 2, 2, None]
    assert chosen(paused, [curve(10, 6.0)], left=1.1) is None  # of four at the first rung, the two best have gone on
    assert chosen(paused, left=0.69, may_begin=False) == chosen(paused, may_begin=False) == 2


def test_with_other_rules_what_is_paused_goes_on() -> None:
    paused = {4: curve(FIRST, 9.0), 3: curve(FIRST)}
    none = PrunerSpec(kind="none")
    assert worthiest(paused, [], none, REPORTS, FLOOR, DISTANCE, may_begin=True) == 3
    later = PrunerSpec(kind="promotion", rungs=(0.5,))
    assert worthiest(paused, [], later, REPORTS, FLOOR, DISTANCE, may_begin=True) == 3


def test_the_worst_of_the_earliest_rung_loses_its_checkpoint_first() -> None:
    paused = {0: curve(SECOND), 1: curve(FIRST, 9.0), 2: curve(FIRST), 3: curve(FIRST, 8.0), 4: curve(SECOND, 4.0)}
    order = []
    while paused:
        order.append(least_worth(paused, RULES, REPORTS, FLOOR))
        del paused[order[-1]]
    assert order == [2, 1, 3, 0, 4]


@pytest.mark.parametrize(
    "changes",
    [
        {"pruner": {"kind": "promotion", "rungs": [0.95]}},
        {"pruner": {"kind": "promotion", "rungs": []}},
        {"pruner": {"kind": "promotion"}, "budget": {"frames": 900, "reports": 1}},
    ],
)
def test_a_study_without_a_rung_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(StudyError, match="promotion needs a rung"):
        study_spec(**changes)
