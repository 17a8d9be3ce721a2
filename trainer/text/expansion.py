"""What is written in one way and spoken in another: found by rules, replaced all at once, and kept to be shown.

A rule finds spans of a text. Where the spans of two rules overlap, the rule that comes first has it. What a rule puts
in consists of symbols, and no rule finds anything in it: so a text that was read is not changed by reading it again.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class ExpansionKind(StrEnum):
    """Why something is spoken in another way than it is written."""

    ABBREVIATION = "abbreviation"
    DATE = "date"
    TIME = "time"
    MONEY = "money"
    PERCENT = "percent"
    YEAR = "year"
    ORDINAL = "ordinal"
    NUMBER = "number"
    UNIT = "unit"
    TELEPHONE = "telephone number"
    ADDRESS = "address"
    ACRONYM = "acronym"
    SIGN = "sign"
    ACCENT = "accent"  # a letter that English writes in loanwords alone, read without its accent


@dataclass(frozen=True, slots=True)
class Expansion:
    """start: where `written` begins in `Reading.plain`."""

    kind: ExpansionKind
    start: int
    written: str
    spoken: str

    @property
    def end(self) -> int:
        return self.start + len(self.written)


_TEXT_ENDS = re.compile(r"[\"')\s]*$")
_SENTENCE_ENDS = re.compile(r"[\"')]*(?:\s*$| [^\W\d_a-zа-яё])")

Rule = Callable[[str], Iterable[Expansion]]


def expansions(text: str, rules: Sequence[Rule]) -> list[Expansion]:
    """Of all rules, in the order of the text, without overlaps."""
    taken = bytearray(len(text))
    found: list[Expansion] = []
    for rule in rules:
        for each in rule(text):
            if not any(taken[each.start : each.end]):
                taken[each.start : each.end] = b"\1" * len(each.written)
                found.append(each)
    return sorted(found, key=lambda each: each.start)


def pieces(text: str, found: Sequence[Expansion]) -> Iterator[tuple[int, str, Expansion | None]]:
    """The text in order, without gaps: (start, what is written there, its expansion or None)."""
    at = 0
    for each in found:
        if each.start > at:
            yield at, text[at : each.start], None
        yield each.start, each.written, each
        at = each.end
    if at < len(text):
        yield at, text[at:], None


def rule(kind: ExpansionKind, pattern: re.Pattern[str], speak: Callable[[re.Match[str]], str | None]) -> Rule:
    """Speaks each match of `pattern`; where `speak` returns None, the match is left to other rules."""

    def find(text: str) -> Iterator[Expansion]:
        for match in pattern.finditer(text):
            spoken = speak(match)
            if spoken is not None:
                yield Expansion(kind, match.start(), match[0], spoken.strip())

    return find


def full_stop(match: re.Match[str], *, before_capital: bool = False) -> str:
    """ "." where the dot that an abbreviation ends with also ends a sentence: at the end of the text, and, as
    `before_capital` says, before a capital letter.
    """
    pattern = _SENTENCE_ENDS if before_capital else _TEXT_ENDS
    return "." if pattern.match(match.string, match.end()) else ""
