"""What is told: a text with its weight, and perhaps a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Level(IntEnum):
    """How much a message weighs; the names are those of apprise."""

    INFO = 0
    SUCCESS = 1
    WARNING = 2
    FAILURE = 3  # is sent at once


# What the setting `notify_level` lets through.
LEAST = {"all": Level.INFO, "important": Level.SUCCESS, "problems": Level.WARNING}


@dataclass(frozen=True)
class Message:
    """text: plain, no markup. picture: a file, left out where it is gone by then.

    topic: one that waits is replaced by a later one of its topic; spacing: least seconds since the last of its topic.
    """

    level: Level
    text: str
    picture: Path | None = None
    topic: str | None = None
    spacing: float = 0.0


def merged(messages: Sequence[Message]) -> Message:
    """One message that says it all; the last picture is kept."""
    return Message(
        level=max(message.level for message in messages),
        text="\n\n".join(message.text for message in messages),
        picture=next((message.picture for message in reversed(messages) if message.picture), None),
    )
