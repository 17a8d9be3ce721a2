"""Sums of money and large numbers: $20, 100 руб., 5,50 €, 3 млн, 2,5 млрд руб., 20 USD."""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.russian.agreement import governing
from trainer.text.russian.counted import AMOUNT, MINUS, SCALES, SPACE, Counted, count, minus

_RUBLE = Counted(("рубль", "рубля", "рублей"))
_DOLLAR = Counted(("доллар", "доллара", "долларов"))
_EURO = Counted(("евро", "евро", "евро"))
_POUND = Counted(("фунт", "фунта", "фунтов"))
_YUAN = Counted(("юань", "юаня", "юаней"))
_HRYVNIA = Counted(("гривна", "гривны", "гривен"), "f")
_KOPECK = Counted(("копейка", "копейки", "копеек"), "f")
_CENT = Counted(("цент", "цента", "центов"))
_PENNY = Counted(("пенс", "пенса", "пенсов"))

_CURRENCIES: Mapping[str, tuple[Counted, Counted]] = {
    **dict.fromkeys(("₽", "руб.", "руб", "rub"), (_RUBLE, _KOPECK)),
    **dict.fromkeys(("$", "долл.", "usd"), (_DOLLAR, _CENT)),
    **dict.fromkeys(("€", "eur"), (_EURO, _CENT)),
    **dict.fromkeys(("£", "gbp"), (_POUND, _PENNY)),
    **dict.fromkeys(("¥", "cny"), (_YUAN, _CENT)),
    **dict.fromkeys(("₴", "грн.", "грн", "uah"), (_HRYVNIA, _KOPECK)),
    **dict.fromkeys(("коп.", "коп"), (_KOPECK, _KOPECK)),
}
_SIGN = r"(?P<sign>[$€£¥₽₴])"
_NAME = r"(?P<sign>[$€£¥₽₴]|(?:руб\.?|долл\.|грн\.?|коп\.?|usd|eur|gbp|rub|cny|uah)(?![\wа-яё]))"
_SCALE = rf"(?:{SPACE}(?P<scale>тыс|млн|млрд|трлн)(?![а-яё])\.?)"

_BEFORE = re.compile(rf"{MINUS}{_SIGN}{SPACE}{AMOUNT}{_SCALE}?(?!\d)", re.IGNORECASE)
_AFTER = re.compile(rf"{MINUS}(?<![\d.,]){AMOUNT}{_SCALE}?{SPACE}{_NAME}", re.IGNORECASE)
_LARGE = re.compile(rf"{MINUS}(?<![\d.,]){AMOUNT}{_SCALE}", re.IGNORECASE)
_ALONE = re.compile("(?<![A-Za-zА-Яа-яЁё\u0301])" r"(?P<scale>тыс\.|млн|млрд|трлн)(?![^\W\d])\.?", re.IGNORECASE)


def _money(match: re.Match[str]) -> str:
    unit, coin = _CURRENCIES[match["sign"].lower()]
    before = governing(match.string, match.start(), match.end())
    if match["scale"]:
        spoken = f"{_large(match, before)} {unit.forms[2]}"
    elif match["fraction"] and len(match["fraction"]) == 2:
        parts = [count(match["whole"], None, unit, before)]
        if int(match["fraction"]):
            parts.append(count(str(int(match["fraction"])), None, coin, before))
        spoken = " ".join(parts)
    else:
        spoken = count(match["whole"], match["fraction"], unit, before)
    return minus(match) + spoken + _stop(match)


def _large_number(match: re.Match[str]) -> str:
    return minus(match) + _large(match, governing(match.string, match.start(), match.end())) + _stop(match)


def _large(match: re.Match[str], before: str) -> str:
    return count(match["whole"], match["fraction"], SCALES[match["scale"].lower()], before)


def _scale_alone(match: re.Match[str]) -> str:
    return SCALES[match["scale"].lower().rstrip(".")].forms[2] + _stop(match)


def _stop(match: re.Match[str]) -> str:
    return full_stop(match, before_capital=True) if match[0].endswith(".") else ""


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.MONEY, _BEFORE, _money),
    rule(ExpansionKind.MONEY, _AFTER, _money),
    rule(ExpansionKind.NUMBER, _LARGE, _large_number),
    rule(ExpansionKind.ABBREVIATION, _ALONE, _scale_alone),
)
