"""One correction: what is done, why, and what it changes."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """What went wrong."""

    NOT_FINITE = "not_finite"  # a loss or gradient is infinite or NaN
    GRADIENT = "gradient"  # the gradient norm explodes
    LATE = "alignment_late"  # attention does not align where others do
    LOST = "alignment_lost"  # attention was aligned, and is no longer
    SPEECH_LOST = "speech_lost"  # as LOST, of attention without a teacher: what is heard
    PLATEAU = "plateau"  # the validation loss does not improve


class Action(StrEnum):
    """What is done."""

    SKIP = "skip"  # the update was left out
    ROLL_BACK = "roll_back"  # to an earlier checkpoint, with a lower learning rate
    GIVE_UP = "give_up"  # training has failed
    CLIP = "clip"  # exploding gradients are clipped at a percentile of the last norms
    GUIDE = "guide"  # the weight of guided attention is raised
    LESSEN = "lessen"  # the raised weight of guided attention is lowered a step
    GIVE_BACK = "give_back"  # the weight of guided attention is again as scheduled
    LOWER_RATE = "lower_rate"  # the learning rate is lowered
    KEEP = "keep"  # an earlier correction has helped
    UNDO = "undo"  # an earlier correction has not helped, and what it changed is changed back
    NOTHING = "nothing"  # nothing is left to try; said once


@dataclass(frozen=True)
class Correction:
    """What the loop should do. `reason` says it in one line, without the update that a rollback returns to.

    before, after: what is changed. Weights of guided attention where the cause is LATE, gradient norms where it is
    GRADIENT, else factors of the scheduled learning rate.
    """

    action: Action
    cause: Cause
    reason: str
    before: float
    after: float
