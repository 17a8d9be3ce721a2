"""What the check of a corpus writes and the tuner reads. Standard library only."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

REPORT = "report.json"  # in the folder of the check


class Severity(StrEnum):
    """From worst to least."""

    REFUSED = "refused"  # training stops at it
    WARNING = "warning"  # it is heard in the voice, or costs speech
    NOTE = "note"  # good to know; changes no exit code


class State(StrEnum):
    """Whether a voice can be trained on the corpus."""

    CLEAN = "clean"
    WARNINGS = "usable, with warnings"
    UNUSABLE = "unusable as it is"


@dataclass(frozen=True)
class Text:
    """written: as in the list; read: as the model reads it."""

    id: str
    origin: str
    written: str
    read: str


@dataclass(frozen=True)
class Expanded:
    """What is spoken in another way than it is written. kind: why; count: in how many places; origin, text: the first
    of them."""

    kind: str
    written: str
    spoken: str
    count: int
    origin: str
    text: str


@dataclass(frozen=True)
class Row:
    """origin: its file and line; text: what is wrong, and how to mend it; recording, written: its recording and its
    text, as far as they are known."""

    origin: str
    text: str
    recording: str = ""
    written: str = ""


@dataclass(frozen=True)
class Refused:
    """Rows that cannot be used, of one kind. characters: that cannot be read, each once, in words."""

    kind: str
    faults: Sequence[Row]
    characters: Sequence[str] = ()


@dataclass(frozen=True)
class Worst:
    """A clip to look at and to hear. faults: in words; sound, picture: paths, within the folder of the report."""

    id: str
    origin: str
    written: str
    read: str
    faults: Sequence[str]
    seconds: float
    sound: str
    picture: str
