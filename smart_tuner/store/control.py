"""What people ask of a study while workers are at work on it: how many trials, until when, to stop.

Kept as user attributes of the study; workers look every second or two.
"""

import time
from dataclasses import dataclass
from enum import StrEnum

import optuna

from smart_tuner.store.attributes import StudyAttr


class Asked(StrEnum):
    RUN = "run"
    STOP = "stop"  # the trials save and leave
    STOP_NOW = "stop now"  # they are killed


@dataclass(frozen=True)
class Control:
    """target: finished trials that the study is to have; deadline: seconds since the epoch, None for never."""

    target: int = 0
    asked: Asked = Asked.RUN
    deadline: float | None = None

    @property
    def halt(self) -> str | None:
        """Why no trial may run now; None where they may."""
        if self.asked is not Asked.RUN:
            return "the study was stopped"
        if self.deadline is not None and time.time() >= self.deadline:
            return "the study's time is up"
        return None


def read_control(study: optuna.Study) -> Control:
    """A study that was never filed has no target, hence nothing to do."""
    told = study.user_attrs
    return Control(
        target=told.get(StudyAttr.TARGET, 0),
        asked=Asked(told.get(StudyAttr.ASKED, Asked.RUN)),
        deadline=told.get(StudyAttr.DEADLINE),
    )


def ask(study: optuna.Study, asked: Asked) -> None:
    study.set_user_attr(StudyAttr.ASKED, asked.value)


def request_run(study: optuna.Study, target: int, hours: float | None, *, joins: bool) -> None:
    """Have the study run to `target` finished trials, for `hours` from now at most.

    joins: others are at work on it, and people have been told so.
    """
    if StudyAttr.TOLD in study.user_attrs and not joins:
        study.set_user_attr(StudyAttr.TOLD, {})  # it begins anew, and people are told so
    study.set_user_attr(StudyAttr.TARGET, target)
    study.set_user_attr(StudyAttr.DEADLINE, None if hours is None else time.time() + 3600 * hours)
    ask(study, Asked.RUN)
