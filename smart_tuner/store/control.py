"""What people request of a study while workers run its trials: how many trials, until when, to stop.

The requests are user attributes of the study. Workers read them every second or two.
"""

import time
from dataclasses import dataclass
from enum import StrEnum

import optuna

from smart_tuner.store.attributes import StudyAttr


class Request(StrEnum):
    RUN = "run"
    STOP = "stop"  # the trials save their state and end
    STOP_NOW = "stop now"  # they are killed


@dataclass(frozen=True)
class Control:
    """target: finished trials that the study is to have; deadline: seconds since the epoch, None for no deadline."""

    target: int = 0
    request: Request = Request.RUN
    deadline: float | None = None
    revived: int = 0  # how often finished trials that had paused were let wait again

    @property
    def halt(self) -> str | None:
        """Why no trial may run now; None where they may."""
        if self.request is not Request.RUN:
            return "the study was stopped"
        if self.deadline is not None and time.time() >= self.deadline:
            return "the study's time is up"
        return None


def read_control(study: optuna.Study) -> Control:
    """A study that was never submitted has the target 0, so that nothing runs."""
    attributes = study.user_attrs
    return Control(
        target=attributes.get(StudyAttr.TARGET, 0),
        request=Request(attributes.get(StudyAttr.REQUEST, Request.RUN)),
        deadline=attributes.get(StudyAttr.DEADLINE),
        revived=attributes.get(StudyAttr.REVIVED, 0),
    )


def write_request(study: optuna.Study, request: Request) -> None:
    study.set_user_attr(StudyAttr.REQUEST, request.value)


def request_run(study: optuna.Study, target: int, hours: float | None, *, joins: bool) -> None:
    """Have the study run to `target` finished trials, for at most `hours` from now.

    joins: other workers already run its trials, and people have been notified of its start.
    """
    if StudyAttr.CLAIMS in study.user_attrs and not joins:
        study.set_user_attr(StudyAttr.CLAIMS, {})  # it starts again, so that people are notified again
    study.set_user_attr(StudyAttr.TARGET, target)
    study.set_user_attr(StudyAttr.DEADLINE, None if hours is None else time.time() + 3600 * hours)
    write_request(study, Request.RUN)
