"""A place that messages go to, and what can come of sending one."""

import math
from typing import Protocol

from smart_tuner.notify.message import Message


class Away(Exception):
    """The place does not answer, or asks to wait: what was to be sent may be sent again.

    The text says why, without secrets. seconds: how long the place wants to be left alone; None where it did not say.
    """

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Refused(Exception):
    """The place takes nothing from us, now or later. The text says why, without secrets."""


class Channel(Protocol):
    """name: for people, without secrets. `send` is called by one thread at a time, and may take its time."""

    name: str

    def send(self, message: Message) -> None:
        """Raises Away or Refused."""


def seconds_to_wait(told: object) -> float | None:
    """Of a `Retry-After`; None where it is no number of seconds."""
    try:
        seconds = float(str(told))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def in_one_line(text: str) -> str:
    return " ".join(text.split())[:300]
