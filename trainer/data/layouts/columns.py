"""What the columns of a list hold, judged by their values.

One value for many clips, numbers, ids and file names are a speaker, a duration, a path: no text. The judgement is made
on a sample of rows, and needs no language: it looks at letters, digits, words and repetition.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from statistics import StatisticsError, correlation, fmean, median

from trainer.data.recordings import has_audio_suffix, short

COMPARED = 50  # pairs of texts
SIMILAR = 0.4  # difflib's ratio, from which a text is another writing of the same sentence
MOST = 0.8  # of the values decide what a column holds
_NUMBER = re.compile(r"[+-]?\d+([.,:]\d+)*\s*(s|ms|sec|%|hz|khz)?", re.IGNORECASE)


class Reads(StrEnum):
    """What the values of a column are, in words that follow "holds"."""

    TEXT = "text"
    NUMBERS = "numbers"
    NAMES = "file names"
    IDS = "ids"
    LABELS = "the same values for many clips"
    EMPTY = "nothing"


@dataclass(frozen=True)
class Column:
    """number: from 0; name: that in the header, or ""; values: of a sample of rows, "" where a row has none."""

    number: int
    name: str
    values: tuple[str, ...]

    @property
    def filled(self) -> list[str]:
        return [value for value in self.values if value]

    @property
    def shown(self) -> str:
        return f"`{self.name}`" if self.name else f"column {self.number + 1}"

    @property
    def setting(self) -> str:
        """What names it in `corpus.columns`."""
        return self.name or str(self.number + 1)

    @property
    def described(self) -> str:
        """`age` holds numbers ('20', '30')."""
        different = list(dict.fromkeys(self.filled))[:2]
        examples = f" ({', '.join(map(short, different))})" if different else ""
        return f"{self.shown} holds {reads_like(self)}{examples}"


def reads_like(column: Column) -> Reads:
    values = column.filled
    if not values:
        return Reads.EMPTY
    if _share(values, lambda value: _NUMBER.fullmatch(value) is not None) >= MOST:
        return Reads.NUMBERS
    if _share(values, _is_name) >= MOST:
        return Reads.NAMES
    if _share(values, lambda value: any(map(str.isalpha, value))) < 0.5:
        return Reads.NUMBERS
    if _repeats(values):
        return Reads.LABELS
    single = _share(values, lambda value: not any(map(str.isspace, value)))
    marked = _share(values, lambda value: "_" in value or any(map(str.isdigit, value)))
    return Reads.IDS if single >= MOST and marked >= MOST else Reads.TEXT


def names_speakers(column: Column) -> bool:
    """Whether the values seem to name the speaker of each clip. Numbers do not: they are as likely ratings."""
    return reads_like(column) is Reads.LABELS and len(column.filled) >= MOST * len(column.values)


def may_number_speakers(column: Column, text: Column) -> bool:
    """Whether the values are a few whole numbers, several clips have each, and they do not grow with the text as its
    length and its duration do."""
    values = column.filled
    if reads_like(column) is not Reads.NUMBERS or len(values) < MOST * len(column.values):
        return False
    if len(set(values)) > max(1, len(values) / 4) or not all(value.isascii() and value.isdigit() for value in values):
        return False
    pairs = [(len(b), float(a)) for a, b in zip(column.values, text.values, strict=True) if a]
    try:
        return abs(correlation(*zip(*pairs, strict=True))) < 0.5
    except StatisticsError:  # all are equal, or there is one
        return True


def same_sentences(one: Column, other: Column) -> bool:
    """Whether both write the same sentences, as "Mr. A" and "mister a". Empty values agree with all."""
    pairs = [(a[:100].lower(), b[:100].lower()) for a, b in zip(one.values, other.values, strict=True) if a and b]
    ratios = [SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in pairs[:COMPARED]]
    return not ratios or median(ratios) >= SIMILAR


def words(column: Column) -> float:
    """The mean number of words."""
    return fmean(len(value.split()) for value in column.filled) if column.filled else 0.0


def _share(values: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(map(test, values)) / len(values)


def _is_name(value: str) -> bool:
    return has_audio_suffix(value) or ("/" in value and not any(map(str.isspace, value)))


def _repeats(values: Sequence[str]) -> bool:
    """One value for all clips, or few short ones: the names of speakers, genders, accents."""
    different = len(set(values))
    if different == 1:
        return len(values) > 1
    return different <= len(values) / 2 and fmean(len(value.split()) for value in values) <= 2
