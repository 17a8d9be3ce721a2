"""Years: 1984 is "nineteen eighty-four", 1914-18 "nineteen fourteen to eighteen", 1980s "nineteen eighties".

Four digits between 1100 and 2099 are taken for a year, unless what follows is counted ("1500 men").
"""

import re

from trainer.text.english.units import unit_follows
from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.spelling import cardinal, year

_NUMBER = r"(?:1[1-9]\d\d|20\d\d)"
_START = r"(?<![\d.,:/$£€#+])(?<![\s(]-)(?<!^-)"
_END = r"(?!\d|[.,:/]\d|\s?[%°€$£])"
_DECADE = re.compile(rf"{_START}(?P<year>1[1-9]\d0|20\d0)'?s\b", re.ASCII)
_SHORT_DECADE = re.compile(r"(?<![\d.,$£€])'?(?P<ten>[1-9]0)'?s\b", re.ASCII)
_RANGE = re.compile(rf"{_START}(?P<first>{_NUMBER})\s?[-–]\s?(?P<last>{_NUMBER}|\d\d){_END}(?!\w)", re.ASCII)
_YEAR = re.compile(rf"{_START}(?P<year>{_NUMBER}){_END}(?![\w]|-\w)", re.ASCII)

_NEXT_WORD = re.compile(r"\s([a-z]+)", re.ASCII)
_COUNTED = frozenset(
    (
        "people",
        "men",
        "women",
        "children",
        "feet",
        "miles",
        "percent",
        "per",
        "degrees",
        "dollars",
        "euros",
        "pounds",
        "hundred",
        "thousand",
        "million",
        "billion",
    )
)
_NOT_COUNTED = frozenset(
    (
        "was",
        "is",
        "has",
        "as",
        "this",
        "his",
        "its",
        "us",
        "yes",
        "does",
        "always",
        "perhaps",
        "across",
        "less",
        "unless",
        "towards",
        "besides",
        "thus",
        "plus",
        "versus",
        "sometimes",
        "afterwards",
        "it's",
    )
)


def spoken_year(digits: str) -> str:
    """Four digits, or the two at the end of one."""
    return year(int(digits)) if len(digits) == 4 else cardinal(digits, "en")


def _decade(match: re.Match[str]) -> str:
    return _plural(year(int(match["year"])))


def _short_decade(match: re.Match[str]) -> str:
    return _plural(cardinal(match["ten"], "en"))


def _plural(words: str) -> str:
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def _range(match: re.Match[str]) -> str | None:
    first, last = match["first"], match["last"]
    if int(last) <= int(first[-len(last) :]):
        return None
    return f"{spoken_year(first)} to {spoken_year(last)}"


def _year(match: re.Match[str]) -> str | None:
    following = _NEXT_WORD.match(match.string, match.end())
    word = following[1] if following else ""
    plural = word.endswith("s") and len(word) > 3 and word not in _NOT_COUNTED
    counted = plural or word in _COUNTED or unit_follows(match.string, match.end())
    return None if counted else year(int(match["year"]))


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.YEAR, _DECADE, _decade),
    rule(ExpansionKind.YEAR, _SHORT_DECADE, _short_decade),
    rule(ExpansionKind.YEAR, _RANGE, _range),
    rule(ExpansionKind.YEAR, _YEAR, _year),
)
