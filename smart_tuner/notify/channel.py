"""The interface of a channel that messages are sent by, and how sending one can fail."""

import math
from typing import Protocol

from smart_tuner.notify.message import Message


class Unavailable(Exception):
    """The channel does not answer, or asks to wait: the message may be sent again later.

    reason: for people, without secrets. retry_after: seconds that the channel asked to wait; None if it named none.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Refused(Exception):
    """The channel accepts nothing from us, now or later. The text says why, without secrets."""


class Channel(Protocol):
    """name: for people, without secrets. `send` is called by one thread at a time, and may block."""

    name: str

    def send(self, message: Message) -> None:
        """Raises Unavailable or Refused."""


def seconds_to_wait(retry_after: object) -> float | None:
    """The value of a `Retry-After` header or field in seconds; None if it is no number of seconds."""
    try:
        seconds = float(str(retry_after))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def in_one_line(text: str) -> str:
    return " ".join(text.split())[:300]
