"""What to do about updates whose loss or gradient is not finite: skip, roll back, give up.

A pure function of the history; the loop applies the proposal and writes it as an event. Bounded: the last good
checkpoint is loaded again at most `MOST_ROLLBACKS` times, each time at half the learning rate; after that training has
failed.
"""

from dataclasses import dataclass
from enum import StrEnum

BAD_UPDATES_BEFORE_ROLLBACK = 5
MOST_ROLLBACKS = 2
ROLLBACK_LR_SCALE = 0.5


class Action(StrEnum):
    SKIP = "skip"
    ROLL_BACK = "roll_back"
    GIVE_UP = "give_up"


@dataclass(frozen=True)
class Correction:
    """What the loop should do, and why."""

    action: Action
    reason: str
    lr_scale: float  # the factor of the learning rate from now on


def propose(bad_updates_in_a_row: int, rollbacks: int, lr_scale: float) -> Correction | None:
    """None while updates are finite (`bad_updates_in_a_row` == 0)."""
    if bad_updates_in_a_row == 0:
        return None
    if bad_updates_in_a_row < BAD_UPDATES_BEFORE_ROLLBACK:
        return Correction(Action.SKIP, "loss or gradient is not finite; the update was skipped", lr_scale)
    if rollbacks < MOST_ROLLBACKS:
        return Correction(
            Action.ROLL_BACK,
            f"{bad_updates_in_a_row} updates in a row were not finite; back to the last checkpoint at half the rate",
            lr_scale * ROLLBACK_LR_SCALE,
        )
    return Correction(
        Action.GIVE_UP,
        f"{bad_updates_in_a_row} updates in a row were not finite, and {rollbacks} rollbacks did not help",
        lr_scale,
    )
