"""Years and centuries: в 1984 году, с 1984 года, 1984 г., 5 г. до н. э., 1941—1945 гг., XX век, в XIX в., XIX–XX вв.

A short number is a year where it cannot be counted: в 79 году, but 2 года and 21 год.
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.roman import arabic
from trainer.text.russian.agreement import DATIVE, GENITIVE, PREPOSITIONAL, SINCE, has_genitive, is_noun, word_before
from trainer.text.spelling import ordinal

_NUMBER = r"(?:1\d{3}|20\d\d)"
_S = "[ \u00a0]"
_YEAR = re.compile(rf"(?<![\d.,])(?P<year>{_NUMBER}){_S}?(?P<word>год(?:а|у|ом|е)?|г\.)(?![\wа-яё])", re.IGNORECASE)
_SHORT_YEAR = re.compile(
    rf"(?<![\d.,/–-])(?P<year>\d{{1,4}}){_S}?(?P<word>год(?:а|у|ом|е)?|г\.)(?![\wа-яё])", re.ASCII | re.IGNORECASE
)
_ERA = re.compile(rf"{_S}?(?:до{_S}?)?н\.{_S}?э\.", re.IGNORECASE)
_NEXT_WORD = re.compile(r"\s([а-яё]+)")
_YEARS = re.compile(
    rf"(?<![\d.,])(?P<first>{_NUMBER}){_S}?[-–—]{_S}?(?P<last>{_NUMBER}){_S}?(?P<word>год(?:ы|ов|ах|ам)|гг\.)(?![\wа-яё])",
    re.IGNORECASE,
)
_FROM_TO = re.compile(
    rf"(?<![\wа-яё])(?P<since>со?){_S}(?P<first>{_NUMBER}){_S}(?P<to>по|до){_S}(?P<last>{_NUMBER})"
    rf"(?:{_S}?(?P<word>год(?:ы|а)?|гг?\.)(?![\wа-яё])|(?![\w-]|[.,:]\d|{_S}?[%°₽$€]))",
    re.IGNORECASE,
)
_FROM_YEAR_TO_YEAR = re.compile(
    rf"(?<![\w.,/-])(?P<first>{_NUMBER}){_S}?[-–—]{_S}?(?P<last>{_NUMBER})(?![\w/-]|[.,:]\d|{_S}?[\wа-яё%°₽$€])",
    re.IGNORECASE,
)
_CENTURY = re.compile(
    rf"\b(?P<number>[IVXХ]+|(?<![.,/–-])\d\d?){_S}(?P<word>век(?:а|у|ом|е)?|в\.)(?![\wа-яё])", re.IGNORECASE
)
_FIRST_CENTURY = re.compile(
    rf"\b(?P<number>[IVXХ]+)(?={_S}(?:по|до){_S}[IVXХ]+{_S}(?:век(?:а|ов)?|вв?\.)(?![\wа-яё]))",
    re.IGNORECASE,
)
_CENTURIES = re.compile(
    rf"\b(?P<first>[IVXХ]+|\d\d?)(?P<sign>{_S}?[-–—]{_S}?|{_S}и{_S})(?P<last>[IVXХ]+|\d\d?){_S}(?P<word>век(?:а|ов|ам|ах)|вв\.)(?![\wа-яё])",
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
_OF = GENITIVE | SINCE | frozenset(("осенью", "весной", "зимой", "летом"))
_LAST_CENTURY = 30


def ordinal_year(year: str, case: str) -> str:
    return ordinal(int(year), "ru", case=case, gender="m", animate=False)


def _year(match: re.Match[str]) -> str:
    before, word = word_before(match.string, match.start()), match["word"].lower()
    case = _case(before) if word == "г." else _YEAR_CASES[word]
    if word == "году" and before in DATIVE:
        case = "d"
    return f"{ordinal_year(match['year'], case)} {_word(_YEAR_WORDS[case], match)}"


def _short_year(match: re.Match[str]) -> str | None:
    return _year(match) if _is_year(match) else None


def _is_year(match: re.Match[str]) -> bool:
    if match["word"].lower() != "г.":
        return _is_ordinal(int(match["year"]), match["word"].lower())
    if _ERA.match(match.string, match.end()):
        return True
    following = _NEXT_WORD.match(match.string, match.end())
    grams = following is not None and has_genitive(following[1])
    return len(match["year"]) == 3 and not grams and word_before(match.string, match.start()) in ("в", "во")


def _is_ordinal(number: int, word: str) -> bool:
    """Whether a cardinal would have another form of the word after it: 5 лет, 2 года, 21 год."""
    if number % 100 in (11, 12, 13, 14) or word[-1] in "уе":
        return True
    return number % 10 not in ((1, 2, 3, 4) if word.endswith("а") else (1,))


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


def _from_to(match: re.Match[str]) -> str | None:
    following = _NEXT_WORD.match(match.string, match.end())
    if match["word"] is None and following and has_genitive(following[1]):  # с 1500 до 2000 рублей
        return None
    to = match["to"].lower()
    first, last = ordinal_year(match["first"], "g"), ordinal_year(match["last"], "n" if to == "по" else "g")
    return f"{match['since'].lower()} {first} {to} {last} {_last_word(match, to)}".rstrip()


def _last_word(match: re.Match[str], to: str) -> str:
    if match["word"] is None:
        return ""
    one = match["word"].lower() in ("год", "года", "г.")
    if to == "по":
        return _word("год" if one else "годы", match)
    return _word("года" if one else "годов", match)


def _century(match: re.Match[str]) -> str | None:
    before, word = word_before(match.string, match.start()), match["word"].lower()
    number = _century_number(match["number"])
    if number is None or (match["number"].isdigit() and not _is_century(number, match["word"])):
        return None
    case = _case(before) if word == "в." else _CENTURY_CASES[word]
    return f"{ordinal(number, 'ru', case=case, gender='m', animate=False)} {_word(_CENTURY_WORDS[case], match)}"


def _is_century(number: int, word: str) -> bool:
    """A number in digits. "В." may be a volt or an initial."""
    return word == "в." or (word != "В." and _is_ordinal(number, word.lower()))


def _first_century(match: re.Match[str]) -> str | None:
    """с IX по XVI в."""
    number = _century_number(match["number"])
    case = _case(word_before(match.string, match.start()))
    return ordinal(number, "ru", case=case, gender="m", animate=False) if number else None


def _centuries(match: re.Match[str]) -> str | None:
    before, word = word_before(match.string, match.start()), match["word"].lower()
    numbers = [_century_number(match["first"]), _century_number(match["last"])]
    if None in numbers:
        return None
    case = _case(before) if word == "вв." else _CENTURIES_CASES[word]
    sign = " и " if "и" in match["sign"].lower() else " - "
    spoken = sign.join(ordinal(number, "ru", case=case, gender="m", animate=False) for number in numbers if number)
    return f"{spoken} {_word(_CENTURIES_WORDS[case], match)}"


def _word(word: str, match: re.Match[str]) -> str:
    return word + (full_stop(match, before_capital=True) if match[0].endswith(".") else "")


def _case(before: str) -> str:
    """Of an abbreviated year or century, by the word before it."""
    if before in _PLACE:
        return "p"
    if before in DATIVE:
        return "d"
    return "g" if before in _OF or is_noun(before) else "n"


def _century_number(roman: str) -> int | None:
    """Also with the Cyrillic letter that looks like X."""
    number = int(roman) if roman.isdigit() else arabic(roman.upper().replace("Х", "X"))
    return number if number and number <= _LAST_CENTURY else None


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.YEAR, _FROM_TO, _from_to),
    rule(ExpansionKind.YEAR, _YEARS, _years),
    rule(ExpansionKind.YEAR, _YEAR, _year),
    rule(ExpansionKind.YEAR, _SHORT_YEAR, _short_year),
    rule(ExpansionKind.YEAR, _FROM_YEAR_TO_YEAR, _from_year_to_year),
    rule(ExpansionKind.ORDINAL, _FIRST_CENTURY, _first_century),
    rule(ExpansionKind.ORDINAL, _CENTURIES, _centuries),
    rule(ExpansionKind.ORDINAL, _CENTURY, _century),
)
