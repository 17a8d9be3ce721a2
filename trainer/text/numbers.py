"""Numbers in digits spelled out in English or Russian words, by num2words.

Covers integers, thousands separators, decimals, ordinals (1st; 1-й, 2-я, 3-го), a minus that is
clearly a sign, leading zeros (007) and chains (12.05.2024, read number by number).
Does not cover currencies, units, roman numerals, years read in pairs, nor the agreement of Russian
numerals with their nouns: they are nominative masculine.
"""

import re
from collections.abc import Mapping

LONGEST = 15  # digits; longer numbers, for which num2words has no Russian names, are read digit by digit

_NARROW = "\u00a0\u202f\u2009\u2007"  # spaces that typesetters put between groups of thousands
_SIGN = r"(?P<sign>(?<![^\s(\"'«„“])[-−])?"

# Russian suffix -> (case, gender, plural) of the ordinal, as num2words names them.
_RUSSIAN_ORDINALS: Mapping[str, tuple[str, str, bool]] = {
    **dict.fromkeys(("й", "ый", "ий", "ой"), ("n", "m", False)),
    **dict.fromkeys(("я", "ая"), ("n", "f", False)),
    **dict.fromkeys(("е", "ое"), ("n", "n", False)),
    **dict.fromkeys(("го", "ого"), ("g", "m", False)),
    **dict.fromkeys(("му", "ому"), ("d", "m", False)),
    **dict.fromkeys(("м", "ом"), ("p", "m", False)),
    **dict.fromkeys(("х", "ых"), ("g", "m", True)),
}


def _pattern(separators: str, point: str, ordinal: str) -> re.Pattern[str]:
    grouped = rf"\d{{1,3}}(?:[{separators}{_NARROW}]\d{{3}})+(?!\d)"
    return re.compile(
        rf"{_SIGN}(?:(?P<chain>(?!{grouped})\d+(?:[.,]\d+){{2,}})"
        rf"|(?P<whole>{grouped}|\d+)(?:{point}(?P<fraction>\d+))?(?:{ordinal})?)",
        re.ASCII,  # \d means 0-9; other digits have no symbol and are refused before
    )


_PATTERNS = {
    "en": _pattern(",", r"\.", r"(?P<ordinal>st|nd|rd|th)(?![a-z])"),
    "ru": _pattern(" ", r"[.,]", rf"-(?P<ordinal>{'|'.join(_RUSSIAN_ORDINALS)})(?![а-яё])"),
}
_MINUS = {"en": "minus ", "ru": "минус "}
_POINT = {"en": " point ", "ru": " запятая "}


def spell_numbers(text: str, language: str) -> str:
    """Replace each number of `text`, which is in lower case, by words in `language` ("en" or "ru")."""

    def spelled(match: re.Match[str]) -> str:
        words = _words(match, language)
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        return " " * before.isalpha() + words + " " * after.isalpha()

    return _PATTERNS[language].sub(spelled, text)


def _words(match: re.Match[str], language: str) -> str:
    sign = _MINUS[language] if match["sign"] else ""
    if match["chain"]:
        runs = re.sub(r"\d+", lambda run: _cardinal(run[0], language), match["chain"])
        return sign + re.sub(r"([.,])", r"\1 ", runs)
    whole = re.sub(r"\D", "", match["whole"])
    ordinal = match["ordinal"] or ""
    if match["fraction"]:
        return sign + _decimal(whole, match["fraction"], language) + ordinal
    if ordinal and len(whole) <= LONGEST:
        return sign + _ordinal(int(whole), ordinal, language)
    return sign + _cardinal(whole, language) + ordinal


def _cardinal(digits: str, language: str) -> str:
    if len(digits) > LONGEST or (digits.startswith("0") and len(digits) > 1):
        return " ".join(_num2words(digit, language) for digit in digits)
    return _num2words(digits, language)


def _decimal(whole: str, fraction: str, language: str) -> str:
    if language == "ru" and len(fraction) <= 6 and len(whole) <= LONGEST:
        return _num2words(f"{whole}.{fraction}", language)
    return _cardinal(whole, language) + _POINT[language] + " ".join(_num2words(d, language) for d in fraction)


def _ordinal(number: int, suffix: str, language: str) -> str:
    if language == "en":
        return _num2words(str(number), language, to="ordinal")
    case, gender, plural = _RUSSIAN_ORDINALS[suffix]
    return _num2words(str(number), language, to="ordinal", case=case, gender=gender, plural=plural)


def _num2words(number: str, language: str, **form: object) -> str:
    # Imported here: machines that train on computed features use the symbol table, and may lack num2words.
    from num2words import num2words

    # "one thousand, two hundred": the comma would be spoken as a pause.
    return str(num2words(number, lang=language, **form)).replace(",", "")
