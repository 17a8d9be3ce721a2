"""A message: a text with its level, and perhaps a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Level(IntEnum):
    """How important a message is; the names are those of apprise."""

    INFO = 0
    SUCCESS = 1
    WARNING = 2
    FAILURE = 3  # sent at once


# The lowest level that each value of the setting `notify_level` sends.
LEAST = {"all": Level.INFO, "important": Level.SUCCESS, "problems": Level.WARNING}


@dataclass(frozen=True)
class Message:
    """text: plain, without markup. picture: a file; left out if it no longer exists when the message is sent.

    topic: a message that still waits is replaced by a later one of the same topic. spacing: least seconds between two
    sent messages of one topic.
    """

    level: Level
    text: str
    picture: Path | None = None
    topic: str | None = None
    spacing: float = 0.0


def merged(messages: Sequence[Message]) -> Message:
    """One message with the texts of all, the highest level and the last picture."""
    return Message(
        level=max(message.level for message in messages),
        text="\n\n".join(message.text for message in messages),
        picture=next((message.picture for message in reversed(messages) if message.picture), None),
    )
