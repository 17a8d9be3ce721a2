"""Roman numerals in capital letters: Henry VIII is "henry the eighth", World War II "world war two".

An ordinal after the name of a ruler and before "century", else a cardinal. A single letter needs a word before it that
is counted (Chapter V). "I" is the pronoun, except after "World War", and after a counted word where a mark follows.
"""

import re

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.roman import arabic
from trainer.text.spelling import cardinal, ordinal, year

_RULERS = (
    "Abdul Adrian Albert Alexander Alfonso Alphonse Amenhotep Baldwin Benedict Boniface Boris Carl Carlos Casimir "
    "Catherine Celestine Charles Christian Clement Constantine Cyrus Darius David Edward Elizabeth Emmanuel Eric Erik "
    "Eugene Felipe Ferdinand Francis Franz Frederick Friedrich George Gregory Gustav Haakon Harald Henri Henry "
    "Honorius Innocent Isabella Ivan James John Joseph Juan Julius Karl Leo Leopold Louis Margaret Margrethe Martin "
    "Mary Maximilian Mehmed Mohammed Murad Napoleon Nicholas Olaf Olav Otto Paul Pedro Peter Philip Pius Ptolemy "
    "Rameses Ramesses Ramses Richard Robert Rudolf Seti Sigismund Sixtus Stephen Suleiman Thutmose Umberto Urban "
    "Victor Vittorio Wilhelm William Xerxes"
)
_TITLES = "King Queen Pope Emperor Empress Tsar Czar Sultan Pharaoh Kaiser Prince Princess Duke Patriarch"
_COUNTED = (
    "Act Appendix Article Book Bowl Canto Chapter Class Episode Figure Grade Group Lesson Level Mark Opus Part Phase "
    "Psalm Schedule Scene Season Section Stage Symphony Table Title Type Unit Volume War CHAPTER PART VOLUME BOOK ACT"
)
_SMALL_WORDS = "A After An And At By For From Her His In My No On Our Some That The Their This To Via With Your"

_ROMAN = re.compile(r"(?<![\w.'])(?P<roman>[IVXLCDM]{1,15})(?![^\W_]|_|\.\w|'(?!s\b))")
_CENTURY = re.compile(r"(?<![\w.'])(?P<roman>[IVX]{1,8})(?=(?:[-–][IVX]+)? centur)")


def _any(words: str) -> str:
    return words.replace(" ", "|")


_AFTER_RULER = re.compile(rf"\b(?:(?:{_any(_TITLES)}) [A-Z]\w+|{_any(_RULERS)})(?: [A-Z][a-z]+)? $")
_AFTER_COUNTED = re.compile(rf"\b(?:{_any(_COUNTED)}|Vol\.|Fig\.|No\.|Ch\.|Chap\.|Sec\.|Art\.|pp?\.) $")
_AFTER_WAR = re.compile(r"\bWorld War $")
_AFTER_NAME = re.compile(rf"\b(?!(?:{_any(_SMALL_WORDS)}) )[A-Z]\w+ $")
_MARK = re.compile(r"\s*(?:[.,:;!?)\"]|$)| (?:of|and) ")
_INITIAL = re.compile(r"\. [A-Z]")
_LOOKED_AT = 60  # characters before the numeral
_NO_NUMERALS = ("XX", "XXX")


def _century(match: re.Match[str]) -> str | None:
    number = arabic(match["roman"])
    return ordinal(number, "en") if number else None


def _roman(match: re.Match[str]) -> str | None:
    roman = match["roman"]
    number = arabic(roman)
    if number is None or (len(roman) == 1 and _INITIAL.match(match.string, match.end())):
        return None
    before = match.string[max(0, match.start() - _LOOKED_AT) : match.start()]
    if roman == "I":
        return _one(match, before)
    small = set(roman) <= set("IVXL") and roman != "L"
    if _AFTER_COUNTED.search(before) and (small or len(roman) > 3):
        return cardinal(str(number), "en")
    if _AFTER_RULER.search(before) and small:
        return f"the {ordinal(number, 'en')}"
    return _uncounted(roman, number, before)


def _one(match: re.Match[str], before: str) -> str | None:
    counted = _AFTER_COUNTED.search(before) and _MARK.match(match.string, match.end())
    return "one" if counted or _AFTER_WAR.search(before) else None


def _uncounted(roman: str, number: int, before: str) -> str | None:
    """Where nothing says what is counted: what looks like a numeral alone, or follows a name (Rocky IV, Apollo XI)."""
    if len(roman) > 3 and roman.startswith("M"):
        return year(number)
    if len(roman) < 2 or not set(roman) <= set("IVX") or roman in _NO_NUMERALS:
        return None
    alone = roman == "II" or len(roman) > 2
    return cardinal(str(number), "en") if alone or _AFTER_NAME.search(before) else None


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.ORDINAL, _CENTURY, _century),
    rule(ExpansionKind.NUMBER, _ROMAN, _roman),
)
