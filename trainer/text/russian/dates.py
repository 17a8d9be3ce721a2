"""Dates: 12 мая, 12 мая 1984 года, 12 мая 1984 г., с 1 по 5 мая, 1-5 мая, 12.05.1984, 1984-05-12.

The day is genitive ("двенадцатого мая он уехал"), unless the word before asks for another case.
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.russian.agreement import word_before
from trainer.text.russian.years import ordinal_year
from trainer.text.spelling import ordinal

MONTHS = (
    *("января", "февраля", "марта", "апреля", "мая", "июня"),
    *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
)
_S = "[ \u00a0]"
_WRITTEN = re.compile(
    rf"(?<![\d.,:/])(?P<day>3[01]|[12]\d|0?[1-9]){_S}(?P<month>{'|'.join(MONTHS)})(?![а-яё])"
    rf"(?:{_S}(?P<year>[12]\d{{3}})(?!\d)(?:{_S}?(?:года|г\.)(?![а-яё]))?)?",
    re.IGNORECASE,
)
_FIRST_DAY = re.compile(
    rf"(?<![\w.,:/-])(?P<day>3[01]|[12]\d|0?[1-9])(?={_S}(?:по|до|и){_S}(?:3[01]|[12]\d|0?[1-9]){_S}(?:{'|'.join(MONTHS)})(?![а-яё])"
    rf"|{_S}?[-–—]{_S}?(?:3[01]|[12]\d|0?[1-9]){_S}(?:{'|'.join(MONTHS)})(?![а-яё]))",
    re.IGNORECASE,
)
_DOTS = re.compile(
    rf"(?<![\d.])(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.(?P<year>[12]\d{{3}})(?!\d|\.\d)(?:{_S}?(?:года|г\.)(?![а-яё]))?",
    re.IGNORECASE,
)
_ISO = re.compile(
    r"(?<![\d-])(?P<year>[12]\d{3})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])(?![\d-])", re.ASCII
)

_CASES: Mapping[str, str] = {
    **dict.fromkeys(("к", "ко"), "d"),
    **dict.fromkeys(("перед", "между", "датировано"), "i"),
    **dict.fromkeys(("сегодня", "завтра", "вчера", "было", "будет", "наступило", "это", "на", "по", "за"), "n"),
}


def _written(match: re.Match[str]) -> str:
    return _date(match, match["month"].lower())


def _numeric(match: re.Match[str]) -> str | None:
    month, day = int(match["month"]), int(match["day"])
    return _date(match, MONTHS[month - 1]) if 1 <= month <= 12 and 1 <= day <= 31 else None


def _first_day(match: re.Match[str]) -> str:
    case = _CASES.get(word_before(match.string, match.start()), "g")
    return ordinal(int(match["day"]), "ru", case=case, gender="n")


def _date(match: re.Match[str], month: str) -> str:
    case = _CASES.get(word_before(match.string, match.start()), "g")
    spoken = f"{ordinal(int(match['day']), 'ru', case=case, gender='n')} {month}"
    if match["year"]:
        spoken += f" {ordinal_year(match['year'], 'g')} года"
    return spoken + (full_stop(match, before_capital=True) if match[0].endswith(".") else "")


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.DATE, _FIRST_DAY, _first_day),
    rule(ExpansionKind.DATE, _WRITTEN, _written),
    rule(ExpansionKind.DATE, _DOTS, _numeric),
    rule(ExpansionKind.DATE, _ISO, _numeric),
)
