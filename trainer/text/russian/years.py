"""Years and centuries: в 1984 году, с 1984 года, 1984 г., 1941—1945 гг., XX век, в XIX в."""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.russian.agreement import DATIVE, GENITIVE, PREPOSITIONAL, SINCE, word_before
from trainer.text.spelling import ordinal

_NUMBER = r"(?:1\d{3}|20\d\d)"
_S = "[ \u00a0]"
_YEAR = re.compile(rf"(?<![\d.,])(?P<year>{_NUMBER}){_S}?(?P<word>год(?:а|у|ом|е)?|г\.)(?![\wа-яё])", re.IGNORECASE)
_YEARS = re.compile(
    rf"(?<![\d.,])(?P<first>{_NUMBER}){_S}?[-–—]{_S}?(?P<last>{_NUMBER}){_S}?(?P<word>год(?:ы|ов|ах|ам)|гг\.)(?![\wа-яё])",
    re.IGNORECASE,
)
_FROM_TO = re.compile(
    rf"(?<![\wа-яё])(?P<since>со?){_S}(?P<first>{_NUMBER}){_S}по{_S}(?P<last>{_NUMBER}){_S}?(?P<word>год(?:ы)?|гг?\.)"
    r"(?![\wа-яё])",
    re.IGNORECASE,
)
_CENTURY = re.compile(rf"\b(?P<number>[IVX]+){_S}(?P<word>век(?:а|у|ом|е)?|в\.)(?![\wа-яё])", re.IGNORECASE)

_YEAR_CASES: Mapping[str, str] = {"год": "n", "года": "g", "году": "p", "годом": "i", "годе": "p"}
_YEAR_WORDS: Mapping[str, str] = {"n": "год", "g": "года", "d": "году", "i": "годом", "p": "году"}
_YEARS_CASES: Mapping[str, str] = {"годы": "n", "годов": "g", "годах": "p", "годам": "d"}
_YEARS_WORDS: Mapping[str, str] = {"n": "годы", "g": "годов", "p": "годах", "d": "годам"}
_CENTURY_CASES: Mapping[str, str] = {"век": "n", "века": "g", "веку": "d", "веком": "i", "веке": "p"}
_CENTURY_WORDS: Mapping[str, str] = {case: word for word, case in _CENTURY_CASES.items()}
_PLACE = frozenset(("в", "во", "на")) | PREPOSITIONAL
_OF = (
    GENITIVE
    | SINCE
    | frozenset(
        (
            "начала",
            "начале",
            "конца",
            "конце",
            "середине",
            "середины",
            "осенью",
            "весной",
            "зимой",
            "летом",
            "января",
            "февраля",
            "марта",
            "апреля",
            "мая",
            "июня",
            "июля",
            "августа",
            "сентября",
            "октября",
            "ноября",
            "декабря",
        )
    )
)
_ROMAN: Mapping[str, int] = {"i": 1, "v": 5, "x": 10}


def ordinal_year(year: str, case: str) -> str:
    return ordinal(int(year), "ru", case=case, gender="m", animate=False)


def _year(match: re.Match[str]) -> str:
    before, word = word_before(match.string, match.start()), match["word"].lower()
    case = _case(before) if word == "г." else _YEAR_CASES[word]
    if word == "году" and before in DATIVE:
        case = "d"
    return f"{ordinal_year(match['year'], case)} {_word(_YEAR_WORDS[case], match)}"


def _years(match: re.Match[str]) -> str:
    before, word = word_before(match.string, match.start()), match["word"].lower()
    case = _case(before) if word == "гг." else _YEARS_CASES[word]
    years = f"{ordinal_year(match['first'], case)} - {ordinal_year(match['last'], case)}"
    return f"{years} {_word(_YEARS_WORDS[case], match)}"


def _from_to(match: re.Match[str]) -> str:
    first, last = ordinal_year(match["first"], "g"), ordinal_year(match["last"], "n")
    word = "год" if match["word"].lower() in ("год", "г.") else "годы"
    return f"{match['since'].lower()} {first} по {last} {_word(word, match)}"


def _century(match: re.Match[str]) -> str | None:
    before, word = word_before(match.string, match.start()), match["word"].lower()
    number = _arabic(match["number"].lower())
    if not 1 <= number <= 30:
        return None
    case = _case(before) if word == "в." else _CENTURY_CASES[word]
    return f"{ordinal(number, 'ru', case=case, gender='m', animate=False)} {_word(_CENTURY_WORDS[case], match)}"


def _word(word: str, match: re.Match[str]) -> str:
    return word + (full_stop(match, before_capital=True) if match[0].endswith(".") else "")


def _case(before: str) -> str:
    """Of an abbreviated year or century, by the word before it."""
    if before in _PLACE:
        return "p"
    if before in DATIVE:
        return "d"
    return "g" if before in _OF else "n"


def _arabic(roman: str) -> int:
    values = [_ROMAN[letter] for letter in roman]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.YEAR, _FROM_TO, _from_to),
    rule(ExpansionKind.YEAR, _YEARS, _years),
    rule(ExpansionKind.YEAR, _YEAR, _year),
    rule(ExpansionKind.ORDINAL, _CENTURY, _century),
)
