"""Units after numbers: 5 км, 2 кг, 16 ГБ, 90 км/ч, 20 м², 10-12 мин., 300 руб./мес.

The number and the unit stand in the case that the preposition before them asks for; the unit's forms come from
pymorphy3. "В" is the volt, except after a house and before a class (дом 5 В, 5 В класс). Does not cover "с" (5 с),
which is mostly the preposition. "г.", "т.", "л." and "м." are units where a noun in the genitive follows (500 г. муки),
"г." and "т." also at the end of a sentence; years (в 988 г.) are in `trainer.text.russian.years`.
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.russian.agreement import (
    DATIVE,
    GENITIVE,
    INSTRUMENTAL,
    PREPOSITIONAL,
    SINCE,
    counted,
    governing,
    has_genitive,
    word_before,
)
from trainer.text.russian.counted import AMOUNT, MINUS, SPACE, minus, only_digits
from trainer.text.spelling import LONGEST, cardinal, decimal

_UNITS: Mapping[str, str] = {
    **{"мм": "миллиметр", "см": "сантиметр", "м": "метр", "км": "километр", "га": "гектар"},
    **{"мг": "миллиграмм", "г": "грамм", "кг": "килограмм", "т": "тонна", "мл": "миллилитр", "л": "литр"},
    **{"КБ": "килобайт", "МБ": "мегабайт", "ГБ": "гигабайт", "ТБ": "терабайт"},
    **{"Кбит/с": "килобит в секунду", "Мбит/с": "мегабит в секунду", "Гбит/с": "гигабит в секунду"},
    **{"Вт": "ватт", "кВт": "киловатт", "МВт": "мегаватт", "В": "вольт", "кВ": "киловольт", "дБ": "децибел"},
    **{"Гц": "герц", "кГц": "килогерц", "МГц": "мегагерц", "ГГц": "гигагерц"},
    **{"км/ч": "километр в час", "м/с": "метр в секунду", "л.с.": "лошадиная сила", "ккал": "килокалория"},
    **{"мм²": "квадратный миллиметр", "см²": "квадратный сантиметр", "м²": "квадратный метр"},
    **{"км²": "квадратный километр", "кв.м": "квадратный метр", "кв.км": "квадратный километр"},
    **{"см³": "кубический сантиметр", "м³": "кубический метр", "куб.м": "кубический метр"},
    **{"мс": "миллисекунда", "сек": "секунда", "мин": "минута", "ч": "час", "сут": "сутки", "мес": "месяц"},
    **{"ст.л.": "столовая ложка", "ч.л.": "чайная ложка"},
    **{"шт": "штука", "mm": "миллиметр", "cm": "сантиметр", "km": "километр", "kg": "килограмм"},
    **{"KB": "килобайт", "MB": "мегабайт", "GB": "гигабайт", "TB": "терабайт", "MHz": "мегагерц", "GHz": "гигагерц"},
}
_PER: Mapping[str, str] = {
    **{"кг": "за килограмм", "шт": "за штуку", "м²": "за квадратный метр", "л": "за литр", "т": "за тонну"},
    **{"мес": "в месяц", "год": "в год", "день": "в день", "час": "в час", "ч": "в час", "сут": "в сутки"},
}
_DOTTED = ("сек", "мин", "ч", "сут", "мес", "шт")
_LENGTHS = ("метр", "километр", "сантиметр", "миллиметр")
_LONGEST_WORD = 40  # characters
_ACCUSATIVE = frozenset(("в", "во", "на", "за", "через", "под", "про"))

_SPACED = {
    "л.с.": r"л\.\s?с\.",
    "ст.л.": r"ст\.\s?л\.",
    "ч.л.": r"ч\.\s?л\.",
    "кв.м": r"кв\.\s?м",
    "кв.км": r"кв\.\s?км",
    "куб.м": r"куб\.\s?м",
}
_NAMES = "|".join(_SPACED.get(unit, unit) for unit in sorted(_UNITS, key=len, reverse=True))
_SHORT = rf"(?<=ч)|(?<=шт)|(?<={'|'.join(unit for unit in _DOTTED if len(unit) == 3)})"
_BEFORE_SMALL = r"(?:(?<=[^\W\d_]{2})|(?<=\.м)|(?<=\. м))\.(?=\s[а-яё])"  # 5 кг. муки, 20 кв. м. земли
_DOT = rf"(?P<dot>(?:{_SHORT})\.|{_BEFORE_SMALL})?"
_END = r"(?![\w²³/])"
_MEASURE = rf"{MINUS}(?<![\d.,/])(?:(?P<first>\d{{1,9}}){SPACE}[-–—]{SPACE})?{AMOUNT}{SPACE}"
_UNIT = re.compile(rf"{_MEASURE}(?P<unit>{_NAMES}){_DOT}{_END}")
_AFTER_PART = re.compile(rf"(?:(?<=\d/\d)|(?<=\d/\d\d)|(?<=[¼-¾⅐-⅞])){SPACE}(?P<unit>{_NAMES}){_DOT}{_END}")
_NOT_BEFORE_A_DOT = ("г", "т")  # г. may be a town, and т. е. is no ton
_OF = re.compile(
    rf"{_MEASURE}(?P<unit>[гтлм])(?P<dot>\.)(?={SPACE}(?P<thing>[а-яё]{{4,}}|[а-яё]{{3}}(?!\.))(?![а-яё]))"
)
_SENTENCE_ENDS = re.compile(r"\.[\")]*(?:\s*$|\s[А-ЯЁ][а-яё]+(?!\.))")
_LETTER_BEFORE = re.compile(
    r"(?:\b(?:дома?|доме|корпусе?|квартир[аеуы]|классе?|номер)|№|\b(?:д|кв|корп|стр)\.?)\s?$", re.IGNORECASE
)
_CLASS = re.compile(r"\s?класс", re.IGNORECASE)
_RATE = re.compile(rf"(?<=[\w.$€₽])/(?P<per>{'|'.join(sorted(_PER, key=len, reverse=True))})(?P<dot>\.)?(?!\w)")


def _unit(match: re.Match[str]) -> str | None:
    return _spoken(match) if _is_unit(match) else None


def _spoken(match: re.Match[str]) -> str:
    name = _UNITS[re.sub(r"\s", "", match["unit"])]
    stop = _stop(match)
    whole = only_digits(match["whole"])
    case = _case(match, name)
    if match["fraction"] or len(whole) > LONGEST:
        number = decimal(whole, match["fraction"], "ru") if match["fraction"] else cardinal(whole, "ru")
        return f"{minus(match)}{number} {counted(name, 1 if match['fraction'] else 5, 'g')[0]}{stop}"
    spoken, gender = counted(name, int(whole), case)
    numerals = [cardinal(digits, "ru", case=case, gender=gender, animate=False) for digits in _numbers(match, whole)]
    return f"{minus(match)}{'-'.join(numerals)} {spoken}{stop}"


def _is_unit(match: re.Match[str]) -> bool:
    if match["unit"] == "В":
        start = max(0, match.start() - _LONGEST_WORD)
        in_address = _LETTER_BEFORE.search(match.string[start : match.start()])
        return not in_address and not _CLASS.match(match.string, match.end())
    if match["unit"] not in _NOT_BEFORE_A_DOT or not match.string.startswith(".", match.end()):
        return True
    return _SENTENCE_ENDS.match(match.string, match.end()) is not None


def _of(match: re.Match[str]) -> str | None:
    return _spoken(match) if has_genitive(match["thing"]) else None


def _after_part(match: re.Match[str]) -> str:
    return counted(_UNITS[re.sub(r"\s", "", match["unit"])], 1, "g")[0] + _stop(match)


def _stop(match: re.Match[str]) -> str:
    return full_stop(match, before_capital=True) if match[0].endswith(".") else ""


def _numbers(match: re.Match[str], whole: str) -> list[str]:
    return [match["first"], whole] if match["first"] else [whole]


def _case(match: re.Match[str], name: str) -> str:
    before = word_before(match.string, match.start())
    if before in GENITIVE:
        return "g"
    if before in DATIVE:
        return "d"
    if before in PREPOSITIONAL or (before == "в" and name in _LENGTHS):  # в 5 км от города
        return "p"
    if before in SINCE:  # с 5 до 10 кг, but: с 16 ГБ памяти
        return "g" if governing(match.string, match.start(), match.end()) != before else "i"
    if before in INSTRUMENTAL:
        return "i"
    return "a" if before in _ACCUSATIVE else "n"


def _rate(match: re.Match[str]) -> str:
    return _PER[match["per"]] + _stop(match)


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.UNIT, _OF, _of),
    rule(ExpansionKind.UNIT, _UNIT, _unit),
    rule(ExpansionKind.UNIT, _AFTER_PART, _after_part),
    rule(ExpansionKind.UNIT, _RATE, _rate),
)
