"""Signs that are words: 5 %, 20 °C, № 5, 2 + 2 = 4, 1/2, ½, ~5, x @ y."""

import re
import unicodedata

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.russian.agreement import governing
from trainer.text.russian.counted import AMOUNT, MINUS, SPACE, Counted, count, minus
from trainer.text.spelling import cardinal, ordinal

_PERCENT = Counted(("процент", "процента", "процентов"))
_DEGREE = Counted(("градус", "градуса", "градусов"))
_PERCENTS = re.compile(rf"{MINUS}(?<![\d.,]){AMOUNT}{SPACE}%")
_DEGREES = re.compile(rf"{MINUS}(?<![\d.,]){AMOUNT}{SPACE}°(?:\s?(?P<scale>[CСFCф])(?![\wа-яё]))?", re.IGNORECASE)
_FRACTION = re.compile(r"(?<![\d/.,])(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\d/]|[.,]\d)", re.ASCII)
_VULGAR = re.compile(r"(?<![\d.,])(?P<whole>[0-9]+)?\s?(?P<sign>[¼-¾⅐-⅞])")
_CELSIUS = "cс"


def _percents(match: re.Match[str]) -> str:
    return _counted(match, _PERCENT)


def _counted(match: re.Match[str], counted: Counted) -> str:
    spoken = count(match["whole"], match["fraction"], counted, governing(match.string, match.start(), match.end()))
    return minus(match) + spoken


def _degrees(match: re.Match[str]) -> str:
    spoken = _counted(match, _DEGREE)
    if not match["scale"]:
        return spoken
    return f"{spoken} {'цельсия' if match['scale'].lower() in _CELSIUS else 'фаренгейта'}"


def _fraction(match: re.Match[str]) -> str:
    return _of(int(match["top"]), int(match["bottom"]))


def _vulgar(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match["sign"]).partition("\u2044")
    whole = f"{cardinal(match['whole'], 'ru', gender='f')} и " if match["whole"] else ""
    return whole + _of(int(top), int(bottom))


def _of(top: int, bottom: int) -> str:
    one = top % 10 == 1 and top % 100 != 11
    form = {"case": "n"} if one else {"case": "g", "plural": True}
    return f"{cardinal(str(top), 'ru', gender='f')} {ordinal(bottom, 'ru', gender='f', **form)}"


def _sign(pattern: str, spoken: str) -> Rule:
    return rule(ExpansionKind.SIGN, re.compile(pattern), lambda match: spoken)


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.PERCENT, _PERCENTS, _percents),
    rule(ExpansionKind.SIGN, _DEGREES, _degrees),
    rule(ExpansionKind.NUMBER, _FRACTION, _fraction),
    rule(ExpansionKind.NUMBER, _VULGAR, _vulgar),
    _sign(r"[№#]\s?(?=[0-9])", "номер"),
    _sign(r"§\s?(?=[0-9])", "параграф"),
    _sign(r"#(?=[A-Za-zА-Яа-яЁё])", "хештег"),
    _sign(r"\s?&\s?", "и"),
    _sign(r"\s?@\s?", "собака"),
    _sign(r"(?<![^\s(\"'])\+(?=[0-9])", "плюс"),
    _sign(r"[~≈]\s?(?=[0-9])", "примерно"),
    _sign(r"(?<=[0-9])\+(?!\w)", "плюс"),
    _sign(r"(?<=[0-9])\s?\+\s?(?=[0-9])", "плюс"),
    _sign(r"(?<=\w)\s?=\s?(?=\w)", "равно"),
    _sign(r"(?<=[0-9])\s?×\s?(?=[0-9])", "на"),
    _sign(r"±\s?(?=[0-9])", "плюс-минус"),
)
