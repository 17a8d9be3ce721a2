"""What people request of a study while workers run its trials: how many trials, until when, how many frames, to stop.

The requests are user attributes of the study. Workers read them every second or two.
"""

import math
import time
from dataclasses import dataclass
from enum import StrEnum

import optuna

from smart_tuner.errors import UserError
from smart_tuner.store.attributes import StudyAttr

SETTLED = "settled"  # the value of `until`


class Request(StrEnum):
    RUN = "run"
    STOP = "stop"  # the trials save their state and end
    STOP_NOW = "stop now"  # they are killed


@dataclass(frozen=True)
class Budget:
    """What a study may use; it ends with whichever comes first.

    trials: finished ones; hours: from now; frames: trained by all its trials, also before now. None: no such limit.
    until_settled: whether it also ends when it has settled, by `smart_tuner.settling`.
    """

    trials: int
    hours: float | None = None
    frames: int | None = None
    until_settled: bool = False


@dataclass(frozen=True)
class GivenBudget:
    """What a person gives of the budget at a start; None: it is that of the last start, or of the definition."""

    trials: int | None = None
    hours: float | None = None
    frames: int | None = None
    until_settled: bool = False

    def refuse_useless(self) -> None:
        """Raises UserError for a budget that no trial can have."""
        found = [
            f"`{name}` must be at least 1, but got {value}."
            for name, value in (("trials", self.trials), ("frames", self.frames))
            if value is not None and value < 1
        ]
        if self.hours is not None and not 0 < self.hours < math.inf:
            found.append(f"`hours` must be greater than 0, but got {self.hours:g}.")
        if found:
            raise UserError("\n".join(found))


@dataclass(frozen=True)
class Settled:
    """asked: trials that were asked for; trials: that it then had, and that are its target since; why: in words."""

    asked: int
    trials: int
    why: str


@dataclass(frozen=True)
class Control:
    """target: finished trials that the study is to have; deadline: seconds since the epoch, None for no deadline.

    frames: that its trials may train, all together, None for no limit; frames_reached: the last such limit that they
    have trained. until_settled: whether its target falls to the trials that it has when it has settled; settled: how it
    did the last time.
    """

    target: int = 0
    request: Request = Request.RUN
    deadline: float | None = None
    frames: int | None = None
    frames_reached: int | None = None
    until_settled: bool = False
    settled: Settled | None = None
    revived: int = 0  # how often finished trials that had paused were let wait again

    @property
    def halt(self) -> str | None:
        """Why no trial may run now; None where they may."""
        return "the study was stopped" if self.request is not Request.RUN else self.spent

    @property
    def spent(self) -> str | None:
        """What it may not use more of, where it has neither been stopped nor has all its trials."""
        if self.request is not Request.RUN:
            return None
        if self.deadline is not None and time.time() >= self.deadline:
            return "the study's time is up"
        if self.has_trained_all:
            return f"its trials have trained the {self.frames:,} frames that were asked for"
        return None

    @property
    def has_settled(self) -> bool:
        """Whether its target is what it had when it settled: nobody has asked for more since."""
        return self.settled is not None and self.settled.trials == self.target

    @property
    def has_trained_all(self) -> bool:
        return self.frames is not None and self.frames == self.frames_reached


def read_control(study: optuna.Study) -> Control:
    """A study that was never submitted has the target 0, so that nothing runs."""
    attributes = study.user_attrs
    settled = attributes.get(StudyAttr.SETTLED)
    return Control(
        target=attributes.get(StudyAttr.TARGET, 0),
        request=Request(attributes.get(StudyAttr.REQUEST, Request.RUN)),
        deadline=attributes.get(StudyAttr.DEADLINE),
        frames=attributes.get(StudyAttr.FRAMES),
        frames_reached=attributes.get(StudyAttr.FRAMES_REACHED),
        until_settled=attributes.get(StudyAttr.UNTIL) == SETTLED,
        settled=Settled(**settled) if settled else None,
        revived=attributes.get(StudyAttr.REVIVED, 0),
    )


def write_request(study: optuna.Study, request: Request) -> None:
    study.set_user_attr(StudyAttr.REQUEST, request.value)


def note_frames_reached(study: optuna.Study, frames: int) -> None:
    """Let all workers know that the study's trials have trained as many."""
    study.set_user_attr(StudyAttr.FRAMES_REACHED, frames)


def request_run(study: optuna.Study, budget: Budget, *, joins: bool) -> None:
    """Have the study run until the first part of `budget` is used.

    joins: other workers already run its trials, and people have been notified of its start.
    """
    if StudyAttr.CLAIMS in study.user_attrs and not joins:
        study.set_user_attr(StudyAttr.CLAIMS, {})  # it starts again, so that people are notified again
    study.set_user_attr(StudyAttr.TARGET, budget.trials)
    study.set_user_attr(StudyAttr.DEADLINE, None if budget.hours is None else time.time() + 3600 * budget.hours)
    study.set_user_attr(StudyAttr.FRAMES, budget.frames)
    study.set_user_attr(StudyAttr.UNTIL, SETTLED if budget.until_settled else None)
    write_request(study, Request.RUN)
