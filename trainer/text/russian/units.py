"""Units after numbers: 5 км, 2 кг, 16 ГБ, 90 км/ч, 20 м², 10-12 мин., 300 руб./мес.

The number and the unit stand in the case that the preposition before them asks for; the unit's forms come from
pymorphy3. Does not cover "с" (5 с) and "в" (5 В), which are mostly prepositions.
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.russian.agreement import DATIVE, GENITIVE, INSTRUMENTAL, PREPOSITIONAL, SINCE, counted, word_before
from trainer.text.russian.counted import AMOUNT, MINUS, SPACE, minus, only_digits
from trainer.text.spelling import LONGEST, cardinal, decimal

_UNITS: Mapping[str, str] = {
    **{"мм": "миллиметр", "см": "сантиметр", "м": "метр", "км": "километр", "га": "гектар"},
    **{"мг": "миллиграмм", "г": "грамм", "кг": "килограмм", "т": "тонна", "мл": "миллилитр", "л": "литр"},
    **{"КБ": "килобайт", "МБ": "мегабайт", "ГБ": "гигабайт", "ТБ": "терабайт"},
    **{"Кбит/с": "килобит в секунду", "Мбит/с": "мегабит в секунду", "Гбит/с": "гигабит в секунду"},
    **{"Вт": "ватт", "кВт": "киловатт", "МВт": "мегаватт", "кВ": "киловольт", "дБ": "децибел"},
    **{"Гц": "герц", "кГц": "килогерц", "МГц": "мегагерц", "ГГц": "гигагерц"},
    **{"км/ч": "километр в час", "м/с": "метр в секунду", "л.с.": "лошадиная сила", "ккал": "килокалория"},
    **{"мм²": "квадратный миллиметр", "см²": "квадратный сантиметр", "м²": "квадратный метр"},
    **{"км²": "квадратный километр", "кв.м": "квадратный метр", "кв.км": "квадратный километр"},
    **{"см³": "кубический сантиметр", "м³": "кубический метр", "куб.м": "кубический метр"},
    **{"мс": "миллисекунда", "сек": "секунда", "мин": "минута", "ч": "час", "сут": "сутки", "мес": "месяц"},
    **{"шт": "штука", "mm": "миллиметр", "cm": "сантиметр", "km": "километр", "kg": "килограмм"},
    **{"KB": "килобайт", "MB": "мегабайт", "GB": "гигабайт", "TB": "терабайт", "MHz": "мегагерц", "GHz": "гигагерц"},
}
_PER: Mapping[str, str] = {
    **{"кг": "за килограмм", "шт": "за штуку", "м²": "за квадратный метр", "л": "за литр", "т": "за тонну"},
    **{"мес": "в месяц", "год": "в год", "день": "в день", "час": "в час", "ч": "в час", "сут": "в сутки"},
}
_DOTTED = ("сек", "мин", "ч", "сут", "мес", "шт")
_LENGTHS = ("метр", "километр", "сантиметр", "миллиметр")
_ACCUSATIVE = frozenset(("в", "во", "на", "за", "через", "под", "про"))

_SPACED = {"л.с.": r"л\.\s?с\.", "кв.м": r"кв\.\s?м", "кв.км": r"кв\.\s?км", "куб.м": r"куб\.\s?м"}
_NAMES = "|".join(_SPACED.get(unit, unit) for unit in sorted(_UNITS, key=len, reverse=True))
_DOT = rf"(?P<dot>(?<={'|'.join(unit for unit in _DOTTED if len(unit) == 3)})\.|(?<=ч)\.|(?<=шт)\.)?"
_END = r"(?![\w²³/])"
_UNIT = re.compile(
    rf"{MINUS}(?<![\d.,/])(?:(?P<first>\d{{1,9}}){SPACE}[-–—]{SPACE})?{AMOUNT}{SPACE}(?P<unit>{_NAMES}){_DOT}{_END}"
)
_AFTER_PART = re.compile(rf"(?:(?<=\d/\d)|(?<=\d/\d\d)|(?<=[¼-¾⅐-⅞])){SPACE}(?P<unit>{_NAMES}){_DOT}{_END}")
_NOT_BEFORE_A_DOT = ("г", "т")  # г. is mostly a year, and т. е. no ton
_RATE = re.compile(rf"(?<=[\w.$€₽])/(?P<per>{'|'.join(sorted(_PER, key=len, reverse=True))})(?P<dot>\.)?(?!\w)")
_UNTIL = re.compile(r"[ \u00a0](?:до|по)[ \u00a0]")


def _unit(match: re.Match[str]) -> str | None:
    if match["unit"] in _NOT_BEFORE_A_DOT and match.string.startswith(".", match.end()):
        return None
    name = _UNITS[re.sub(r"\s", "", match["unit"])]
    stop = _stop(match)
    whole = only_digits(match["whole"])
    case = _case(match, name)
    if match["fraction"] or len(whole) > LONGEST:
        number = decimal(whole, match["fraction"], "ru") if match["fraction"] else cardinal(whole, "ru")
        return f"{minus(match)}{number} {counted(name, 2 if match['fraction'] else 5, 'n')[0]}{stop}"
    spoken, gender = counted(name, int(whole), case)
    numerals = [cardinal(digits, "ru", case=case, gender=gender, animate=False) for digits in _numbers(match, whole)]
    return f"{minus(match)}{'-'.join(numerals)} {spoken}{stop}"


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
        return "g" if _UNTIL.match(match.string, match.end()) else "i"
    if before in INSTRUMENTAL:
        return "i"
    return "a" if before in _ACCUSATIVE else "n"


def _rate(match: re.Match[str]) -> str:
    return _PER[match["per"]] + _stop(match)


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.UNIT, _UNIT, _unit),
    rule(ExpansionKind.UNIT, _AFTER_PART, _after_part),
    rule(ExpansionKind.UNIT, _RATE, _rate),
)
