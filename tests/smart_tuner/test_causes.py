import math

import pytest

from smart_tuner.causes import Cause, cause_of
from smart_tuner.pruning import Point, prune_reason
from smart_tuner.spec import PrunerSpec
from smart_tuner.verdict import judge
from trainer.protocol import ExitCode

RULES = PrunerSpec()


def curve(loss: float, alignment: float) -> dict[int, Point]:
    return {index: Point(index, loss, alignment) for index in range(1, 7)}


def pruned(loss: float, alignment: float) -> str:
    reason = prune_reason(curve(loss, alignment), [curve(1.0, 0.9)] * 3, RULES, 10, 0.5)
    assert reason is not None
    return reason


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (pruned(1.0, 0.01), Cause.ATTENTION),
        (pruned(2.0, 0.9), Cause.LOSS),
        (pruned(math.nan, 0.9), Cause.DIVERGED),
        (judge(None, ExitCode.DIVERGED, None).reason, Cause.DIVERGED),
        (judge(None, ExitCode.OUT_OF_MEMORY, None).reason, Cause.MEMORY),
        ("took longer than 4 hours (`limits.trial_hours`)", Cause.TIME),
        ("by hand", Cause.OTHER),
        ("", Cause.OTHER),
    ],
)
def test_the_cause_is_told_by_the_reason_that_the_tuner_writes(reason: str, cause: Cause) -> None:
    assert cause_of(reason) is cause
