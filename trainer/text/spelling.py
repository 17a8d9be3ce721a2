"""Numbers in words, by num2words: cardinals, ordinals, decimals and English years."""

from functools import lru_cache

LONGEST = 15  # digits; longer numbers, for which num2words has no Russian names, are read digit by digit

POINT = {"en": " point ", "ru": " запятая "}


def cardinal(digits: str, language: str, **form: object) -> str:
    """form: of a Russian numeral, as num2words names it: case, gender, animate. Leading zeros are read one by one."""
    if len(digits) > LONGEST or (digits.startswith("0") and len(digits) > 1):
        return " ".join(words(digit, language) for digit in digits)
    return words(digits, language, **form)


def decimal(whole: str, fraction: str, language: str) -> str:
    if language == "ru" and len(fraction) <= 6 and len(whole) <= LONGEST:
        return words(f"{whole}.{fraction}", language)
    return cardinal(whole, language) + POINT[language] + " ".join(words(digit, language) for digit in fraction)


def ordinal(number: int, language: str, **form: object) -> str:
    return words(str(number), language, to="ordinal", **form)


def year(number: int) -> str:
    """In English: 1984 is "nineteen eighty-four", 2005 "two thousand and five"."""
    return words(str(number), "en", to="year").replace("-", " ", number % 100 < 10)  # "oh-five" is "oh five"


@lru_cache(maxsize=4096)
def words(number: str, language: str, **form: object) -> str:
    # Imported here: machines that train on computed features use the symbol table, and may lack num2words.
    from num2words import num2words

    # "one thousand, two hundred": the comma would be spoken as a pause.
    return str(num2words(number, lang=language, **form)).replace(",", "")
