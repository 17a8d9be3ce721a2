"""What to do about updates whose loss or gradient is not finite: skip, roll back, give up.

A pure function; always on. Bounded: a good checkpoint is loaded again at most `MOST_ROLLBACKS` times, each time at half
the learning rate; after that training has failed.
"""

from trainer.corrections.correction import Action, Cause, Correction

BAD_UPDATES_BEFORE_ROLLBACK = 5
MOST_ROLLBACKS = 2
ROLLBACK_LR_SCALE = 0.5


def propose(bad_updates_in_a_row: int, rollbacks: int, lr_scale: float) -> Correction | None:
    """None while updates are finite (`bad_updates_in_a_row` == 0). lr_scale: present factor of the learning rate."""
    if bad_updates_in_a_row == 0:
        return None
    if bad_updates_in_a_row < BAD_UPDATES_BEFORE_ROLLBACK:
        return _correction(Action.SKIP, "loss or gradient is not finite; the update was skipped", lr_scale, lr_scale)
    in_a_row = f"{bad_updates_in_a_row} updates in a row were not finite"
    if rollbacks < MOST_ROLLBACKS:
        reason = f"{in_a_row}; learning rate x {ROLLBACK_LR_SCALE:g}"
        return _correction(Action.ROLL_BACK, reason, lr_scale, lr_scale * ROLLBACK_LR_SCALE)
    return _correction(Action.GIVE_UP, f"{in_a_row}, and {rollbacks} rollbacks did not help", lr_scale, lr_scale)


def _correction(action: Action, reason: str, before: float, after: float) -> Correction:
    return Correction(action, Cause.NOT_FINITE, reason, before, after)
