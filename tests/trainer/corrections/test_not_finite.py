"""Updates that are not finite are skipped; then training is rolled back, a bounded number of times, then gives up."""

import pytest

from trainer.corrections.correction import Action, Cause
from trainer.corrections.not_finite import BAD_UPDATES_BEFORE_ROLLBACK, MOST_ROLLBACKS, propose


@pytest.mark.parametrize(
    ("bad", "rollbacks", "action", "after"),
    [
        (0, 0, None, None),
        (0, 2, None, None),
        (1, 0, Action.SKIP, 0.8),
        (4, 0, Action.SKIP, 0.8),
        (4, 2, Action.SKIP, 0.8),
        (5, 0, Action.ROLL_BACK, 0.4),
        (5, 1, Action.ROLL_BACK, 0.4),
        (9, 1, Action.ROLL_BACK, 0.4),
        (5, 2, Action.GIVE_UP, 0.8),
        (5, 3, Action.GIVE_UP, 0.8),
    ],
)
def test_the_proposed_correction(bad: int, rollbacks: int, action: Action | None, after: float | None) -> None:
    correction = propose(bad, rollbacks, lr_scale=0.8)
    if action is None:
        assert correction is None
        return
    assert correction is not None
    assert (correction.action, correction.before, correction.after) == (action, 0.8, after)
    assert correction.cause is Cause.NOT_FINITE
    assert "not finite" in correction.reason
    if action is not Action.SKIP:
        assert str(bad) in correction.reason


def test_training_that_never_recovers_ends_after_a_bounded_number_of_updates() -> None:
    bad = rollbacks = updates = 0
    lr_scale = 1.0
    while True:
        updates, bad = updates + 1, bad + 1
        assert updates < 1000
        correction = propose(bad, rollbacks, lr_scale)
        assert correction is not None
        if correction.action is Action.GIVE_UP:
            break
        if correction.action is Action.ROLL_BACK:
            rollbacks, bad, lr_scale = rollbacks + 1, 0, correction.after
    assert rollbacks == MOST_ROLLBACKS
    assert updates == BAD_UPDATES_BEFORE_ROLLBACK * (MOST_ROLLBACKS + 1)
    assert lr_scale == 0.5**MOST_ROLLBACKS
