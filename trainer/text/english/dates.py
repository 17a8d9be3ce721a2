"""Dates: May 12, 2024; May 5-7; 12 May; 12th of May 1984; Jan. 5; 2024-05-12; 5/12/2024 (the month comes first, as in
American English, unless it cannot) and 12.05.2024 (the day comes first).
"""

import re

from trainer.text.english.years import spoken_year
from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.spelling import ordinal

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_SHORT = {name[:3]: name for name in MONTHS} | {"sept": "september"}

_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|(?:{'|'.join(sorted(_SHORT, key=len, reverse=True))})\b\.?)"
_CAPITAL = r"(?=[A-Z])"  # "may" and "march" are also verbs
_DAY = r"(?P<day>3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
_TO = r"(?:\s?[-–]\s?(?P<to>3[01]|[12]\d|[1-9]))?"
_YEAR = r"(?:(?P<comma>,?) (?P<year>[12]\d{3})(?![\d,]|[.:]\d))?"

_DAY_FIRST = re.compile(
    rf"(?<![\d.,:/$£€-])(?P<the>\bthe )?{_DAY} (?:of )?{_CAPITAL}(?i:{_MONTH})(?!\w){_YEAR}", re.ASCII
)
_MONTH_FIRST = re.compile(
    rf"\b{_CAPITAL}(?i:{_MONTH}) (?:the )?{_DAY}{_TO}(?!\w|[.,:/]\d|-\d| ?[ap]\.?m\b| ?%){_YEAR}",
    re.ASCII,
)
_MONTH_ALONE = re.compile(rf"\b{_CAPITAL}(?i:{_MONTH})(?P<comma>,?) (?P<year>[12]\d{{3}})(?![\d,]|[.:]\d)", re.ASCII)
_ISO = re.compile(
    r"(?<![\d-])(?P<year>[12]\d{3})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])(?![\d-])", re.ASCII
)
_SLASHES = re.compile(r"(?<![\d/])(?P<first>\d{1,2})/(?P<second>\d{1,2})/(?P<year>[12]\d{3}|\d\d)(?![\d/])", re.ASCII)
_DOTS = re.compile(r"(?<![\d.])(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>[12]\d{3})(?![\d]|\.\d)", re.ASCII)


def _day_first(match: re.Match[str]) -> str:
    return f"the {ordinal(int(match['day']), 'en')} of {_month(match)}{_with_year(match)}"


def _month_first(match: re.Match[str]) -> str:
    to = f" to {ordinal(int(match['to']), 'en')}" if match["to"] else ""
    return f"{_month(match)} {ordinal(int(match['day']), 'en')}{to}{_with_year(match)}"


def _month_alone(match: re.Match[str]) -> str:
    return _month(match) + _with_year(match)


def _month(match: re.Match[str]) -> str:
    name = match["month"].lower().rstrip(".")
    return _SHORT.get(name, name)


def _with_year(match: re.Match[str]) -> str:
    return f"{match['comma']} {spoken_year(match['year'])}" if match["year"] else ""


def _iso(match: re.Match[str]) -> str:
    return _numeric(int(match["month"]), int(match["day"]), match["year"])


def _slashes(match: re.Match[str]) -> str | None:
    first, second = int(match["first"]), int(match["second"])
    month, day = (first, second) if first <= 12 else (second, first)
    return _numeric(month, day, match["year"]) if 1 <= month <= 12 and 1 <= day <= 31 else None


def _dots(match: re.Match[str]) -> str | None:
    month, day = int(match["month"]), int(match["day"])
    return _numeric(month, day, match["year"]) if 1 <= month <= 12 and 1 <= day <= 31 else None


def _numeric(month: int, day: int, year: str) -> str:
    return f"{MONTHS[month - 1]} {ordinal(day, 'en')}, {spoken_year(year)}"


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.DATE, _DAY_FIRST, _day_first),
    rule(ExpansionKind.DATE, _MONTH_FIRST, _month_first),
    rule(ExpansionKind.DATE, _MONTH_ALONE, _month_alone),
    rule(ExpansionKind.DATE, _ISO, _iso),
    rule(ExpansionKind.DATE, _SLASHES, _slashes),
    rule(ExpansionKind.DATE, _DOTS, _dots),
)
