"""The faults of a corpus: each has a kind, so that all are shown at once, grouped, and none is parsed from a sentence.

Lists, texts and recordings are checked in different places; all of them say what they found as a `Fault`.
"""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trainer.errors import CorpusError
from trainer.text import character_name

EXAMPLES = 3  # shown of each kind
LONGEST_WRITTEN = 300  # characters of a text that a fault keeps
_PLAIN = re.compile(r"[^\W\d][\w-]*|0|[1-9]\d*")  # YAML reads these as they are written
_YAML_WORDS = ("yes", "no", "on", "off", "y", "n", "false", "null")


class FaultKind(StrEnum):
    """What is wrong, as the heading of its group. The order is that in which groups are shown."""

    LAYOUT = "the corpus cannot be understood"
    ENCODING = "not UTF-8"
    LINE = "the line cannot be understood"
    COLUMNS = "a wrong number of columns"
    QUOTES = "quotes that do not match"
    NO_NAME = "no recording is named"
    NO_SPEAKER = "no speaker is named"
    MISSING = "the recording does not exist"
    LINK = "a link to a file outside of the corpus"
    OUTSIDE = "the recording is outside of the corpus"
    FILE_NAME = "what is named cannot be a file"
    REPEATED = "the recording is listed twice"
    SPEAKERS = "several speakers"
    NO_TEXT = "no text"
    LONG_TEXT = "a text too long for a clip"
    SYMBOL = "a character without a symbol"
    ALPHABETS = "letters of two alphabets in one word"
    LANGUAGE = "a language that cannot be read as it is"
    UNREADABLE = "the recording cannot be read"
    TRUNCATED = "the recording is cut short"
    SCALE = "samples beyond full scale"
    SILENT = "nothing is heard"
    CANCELLED = "channels that cancel each other"
    TOO_SHORT = "too short for its text"
    TOO_LONG = "longer than a recording may be"


# These are no fault of one line: nothing can be said of the lines before they are mended.
OF_THE_CORPUS = frozenset({FaultKind.LAYOUT, FaultKind.SPEAKERS, FaultKind.LANGUAGE})
_ORDER = {kind: place for place, kind in enumerate(FaultKind)}


@dataclass(frozen=True, slots=True)
class Fault:
    """origin: the file and line, "metadata.csv:17", or the file; text: what is wrong there, and how to mend it;
    characters: all of the text that cannot be read, as often as they stand in it; speaker: of whom the line is, if
    it names one; recording, written: its recording and its text, as far as they are known.
    """

    kind: FaultKind
    origin: str
    text: str
    characters: str = ""
    speaker: str = ""
    recording: str = ""
    written: str = ""

    def __post_init__(self) -> None:
        """Keep the beginning of a long text alone: a list may have a million faulty rows."""
        if len(self.written) > LONGEST_WRITTEN:
            object.__setattr__(self, "written", f"{self.written[:LONGEST_WRITTEN]}...")

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}"


@dataclass(frozen=True, slots=True)
class UnreadCharacter:
    """A character that cannot be read, over a whole corpus."""

    character: str
    name: str
    count: int
    texts: int

    def __str__(self) -> str:
        texts = "text" if self.texts == 1 else "texts"
        return f"{self.character!r} ({self.name}): {self.count} in {self.texts} {texts}"


def unread_characters(faults: Iterable[Fault]) -> list[UnreadCharacter]:
    """Each character of the faults once, most frequent first."""
    counts: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    for fault in faults:
        counts.update(fault.characters)
        texts.update(set(fault.characters))
    return [UnreadCharacter(each, character_name(each), count, texts[each]) for each, count in counts.most_common()]


class CorpusFaults(CorpusError):
    """All faults that were found, as one error."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(grouped(faults))
        self.faults = tuple(faults)


class RecordingError(CorpusError):
    """A recording cannot be used. kind: why, for programs."""

    def __init__(self, kind: FaultKind, path: Path, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.kind = kind


class TooLong(RecordingError):
    """A recording is longer than the caller wants it."""


def cannot_be_read(error: OSError) -> str:
    """Why the system does not open a file, and the fix, without a full stop."""
    fix = "allow it to be read (`chmod u+r`)" if isinstance(error, PermissionError) else "copy it again"
    return f"cannot be read ({error.strerror}); {fix}"


def setting(key: str, value: str) -> str:
    """How `corpus.key` is set to `value`: as a key, and on the command line of a study."""
    plain = _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS
    argument = f"fixed.corpus.{key}={value if plain else json.dumps(value, ensure_ascii=False)}"
    return f"`corpus.{key}: {value}` (of a study: --set {shlex.quote(argument)})"


def refuse(faults: Sequence[Fault]) -> None:
    """Raises CorpusFaults where there are any."""
    if faults:
        raise CorpusFaults(faults)


def grouped(faults: Iterable[Fault]) -> str:
    """All kinds with their numbers, each with its first examples. One fault alone is one line without a heading."""
    groups: dict[FaultKind, list[Fault]] = {}
    for fault in faults:
        groups.setdefault(fault.kind, []).append(fault)
    if sum(map(len, groups.values())) == 1:
        return "\n".join(str(group[0]) for group in groups.values())
    return "\n".join(_group(kind, groups[kind]) for kind in sorted(groups, key=_ORDER.__getitem__))


def _group(kind: FaultKind, faults: Sequence[Fault]) -> str:
    heading = kind[0].upper() + kind[1:]
    lines = [f"{heading}: {len(faults)}", *(f"  {each}" for each in unread_characters(faults))]
    lines += [f"  {fault}" for fault in faults[:EXAMPLES]]
    if len(faults) > EXAMPLES:
        lines.append(f"  ... and {len(faults) - EXAMPLES} more")
    return "\n".join(lines)
