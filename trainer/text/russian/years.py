"""Years and centuries: в 1984 году, с 1984 года, 1984 г., 1941—1945 гг., XX век, в XIX в., XIX–XX вв."""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.roman import arabic
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
_FROM_YEAR_TO_YEAR = re.compile(
    rf"(?<![\w.,/-])(?P<first>{_NUMBER}){_S}?[-–—]{_S}?(?P<last>{_NUMBER})(?![\w/-]|[.,:]\d|{_S}?[\wа-яё%°₽$€])",
    re.IGNORECASE,
)
_CENTURY = re.compile(rf"\b(?P<number>[IVXХ]+){_S}(?P<word>век(?:а|у|ом|е)?|в\.)(?![\wа-яё])", re.IGNORECASE)
_CENTURIES = re.compile(
    rf"\b(?P<first>[IVXХ]+){_S}?[-–—]{_S}?(?P<last>[IVXХ]+){_S}(?P<word>век(?:а|ов|ам|ах)|вв\.)(?![\wа-яё])",
    re.IGNORECASE,
)

_YEAR_CASES: Mapping[str, str] = {"год": "n", "года": "g", "году": "p", "годом": "i", "годе": "p"}
_YEAR_WORDS: Mapping[str, str] = {"n": "год", "g": "года", "d": "году", "i": "годом", "p": "году"}
_YEARS_CASES: Mapping[str, str] = {"годы": "n", "годов": "g", "годах": "p", "годам": "d"}
_YEARS_WORDS: Mapping[str, str] = {"n": "годы", "g": "годов", "p": "годах", "d": "годам"}
_CENTURY_CASES: Mapping[str, str] = {"век": "n", "века": "g", "веку": "d", "веком": "i", "веке": "p"}
_CENTURY_WORDS: Mapping[str, str] = {case: word for word, case in _CENTURY_CASES.items()}
_CENTURIES_CASES: Mapping[str, str] = {"века": "n", "веков": "g", "векам": "d", "веках": "p"}
_CENTURIES_WORDS: Mapping[str, str] = {case: word for word, case in _CENTURIES_CASES.items()}
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
_LAST_CENTURY = 30


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


def _from_year_to_year(match: re.Match[str]) -> str | None:
    """Without a word that says so: (1939—1945)."""
    if int(match["first"]) >= int(match["last"]):
        return None
    return f"{ordinal_year(match['first'], 'n')} - {ordinal_year(match['last'], 'n')}"


def _from_to(match: re.Match[str]) -> str:
    first, last = ordinal_year(match["first"], "g"), ordinal_year(match["last"], "n")
    word = "год" if match["word"].lower() in ("год", "г.") else "годы"
    return f"{match['since'].lower()} {first} по {last} {_word(word, match)}"


def _century(match: re.Match[str]) -> str | None:
    before, word = word_before(match.string, match.start()), match["word"].lower()
    number = _century_number(match["number"])
    if number is None:
        return None
    case = _case(before) if word == "в." else _CENTURY_CASES[word]
    return f"{ordinal(number, 'ru', case=case, gender='m', animate=False)} {_word(_CENTURY_WORDS[case], match)}"


def _centuries(match: re.Match[str]) -> str | None:
    before, word = word_before(match.string, match.start()), match["word"].lower()
    numbers = [_century_number(match["first"]), _century_number(match["last"])]
    if None in numbers:
        return None
    case = _case(before) if word == "вв." else _CENTURIES_CASES[word]
    spoken = " - ".join(ordinal(number, "ru", case=case, gender="m", animate=False) for number in numbers if number)
    return f"{spoken} {_word(_CENTURIES_WORDS[case], match)}"


def _word(word: str, match: re.Match[str]) -> str:
    return word + (full_stop(match, before_capital=True) if match[0].endswith(".") else "")


def _case(before: str) -> str:
    """Of an abbreviated year or century, by the word before it."""
    if before in _PLACE:
        return "p"
    if before in DATIVE:
        return "d"
    return "g" if before in _OF else "n"


def _century_number(roman: str) -> int | None:
    """Also with the Cyrillic letter that looks like X."""
    number = arabic(roman.upper().replace("Х", "X"))
    return number if number and number <= _LAST_CENTURY else None


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.YEAR, _FROM_TO, _from_to),
    rule(ExpansionKind.YEAR, _YEARS, _years),
    rule(ExpansionKind.YEAR, _YEAR, _year),
    rule(ExpansionKind.YEAR, _FROM_YEAR_TO_YEAR, _from_year_to_year),
    rule(ExpansionKind.ORDINAL, _CENTURIES, _centuries),
    rule(ExpansionKind.ORDINAL, _CENTURY, _century),
)
