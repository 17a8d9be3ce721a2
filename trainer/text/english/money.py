"""Sums of money: $20, £5.50, 20 €, USD 5, $1.5 million, $5-10.

An amount with two decimals is read as the coins have it; a word such as "bill" after it makes it singular.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.text.english.numbers import GROUPED, only_digits, spoken
from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.spelling import cardinal


@dataclass(frozen=True)
class _Currency:
    one: str
    many: str
    coin: str
    coins: str


_DOLLAR = _Currency("dollar", "dollars", "cent", "cents")
_POUND = _Currency("pound", "pounds", "penny", "pence")
_EURO = _Currency("euro", "euros", "cent", "cents")
_YEN = _Currency("yen", "yen", "sen", "sen")
_RUBLE = _Currency("ruble", "rubles", "kopeck", "kopecks")
_RUPEE = _Currency("rupee", "rupees", "paisa", "paise")
_US_DOLLAR = _Currency("u s dollar", "u s dollars", "cent", "cents")

_CURRENCIES: Mapping[str, _Currency] = {
    "$": _DOLLAR,
    "£": _POUND,
    "€": _EURO,
    "¥": _YEN,
    "₽": _RUBLE,
    "₹": _RUPEE,
    "US$": _US_DOLLAR,
    "USD": _US_DOLLAR,
    "GBP": _POUND,
    "EUR": _EURO,
    "JPY": _YEN,
    "RUB": _RUBLE,
    "INR": _RUPEE,
}
_SCALES: Mapping[str, str] = {
    **{"k": "thousand", "m": "million", "mm": "million", "mn": "million", "b": "billion", "bn": "billion"},
    **{"t": "trillion", "tn": "trillion"},
}

_SIGN = r"(?P<sign>US\$|[$£€¥₽₹])"
_CODE = r"(?P<sign>\b(?:USD|GBP|EUR|JPY|RUB|INR))"
_AMOUNT = rf"(?P<whole>{GROUPED}|\d+)(?:\.(?P<fraction>\d+))?"
_SCALE = r"(?:\s?(?P<scale>(?:thousand|million|billion|trillion|k|m[mn]?|bn?|tn?)\b))?"
_THING = r"(?P<thing>(?=\s(?:bill|note|coin|ticket|fine|fee|prize)\b))?"
_MINUS = r"(?P<minus>(?<![^\s(\"'])-)?"
_RANGE = r"(?:\s?[-–]\s?[$£€]?(?P<to>\d+(?:\.\d+)?))?"

_BEFORE = re.compile(rf"{_MINUS}{_SIGN}\s?{_AMOUNT}{_RANGE}{_SCALE}{_THING}(?!\d)", re.ASCII | re.IGNORECASE)
_CODE_BEFORE = re.compile(rf"{_MINUS}{_CODE}\s?{_AMOUNT}{_SCALE}{_THING}(?!\d)", re.ASCII)
_AFTER = re.compile(
    rf"{_MINUS}(?<![\d.,]){_AMOUNT}{_SCALE}\s?(?:{_SIGN}|(?P<code>(?:USD|GBP|EUR|JPY|RUB|INR)\b))", re.ASCII
)
_COINS = re.compile(rf"(?<![\d.,])(?P<whole>{GROUPED}|\d+)\s?¢", re.ASCII)


def _money(match: re.Match[str]) -> str:
    parts = match.groupdict()
    currency = _CURRENCIES[(parts["sign"] or parts.get("code") or "").upper()]
    minus = "minus " if parts["minus"] else ""
    return minus + _amount(parts, currency)


def _amount(parts: Mapping[str, str | None], currency: _Currency) -> str:
    whole, fraction, scale = only_digits(parts["whole"] or ""), parts["fraction"], parts["scale"]
    unit = currency.one if parts.get("thing") is not None else currency.many
    if parts.get("to"):
        last, _, decimals = (parts["to"] or "").partition(".")
        first = spoken(whole, fraction)
        return " ".join([first, "to", spoken(last, decimals), *_scale(scale), unit])
    if scale:
        return " ".join([spoken(whole, fraction), *_scale(scale), unit])
    if fraction and len(fraction) == 2:
        return _with_coins(whole, int(fraction), currency)
    if fraction:
        return f"{spoken(whole, fraction)} {unit}"
    return f"{cardinal(whole, 'en')} {currency.one if whole == '1' else unit}"


def _scale(scale: str | None) -> list[str]:
    return [_SCALES.get(scale.lower(), scale.lower())] if scale else []


def _with_coins(whole: str, coins: int, currency: _Currency) -> str:
    parts = []
    if whole.strip("0") or not coins:
        parts.append(f"{cardinal(whole, 'en')} {currency.one if whole == '1' else currency.many}")
    if coins:
        parts.append(f"{cardinal(str(coins), 'en')} {currency.coin if coins == 1 else currency.coins}")
    return " and ".join(parts)


def _coins(match: re.Match[str]) -> str:
    whole = only_digits(match["whole"])
    return f"{cardinal(whole, 'en')} cent{'s' * (whole != '1')}"


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.MONEY, _BEFORE, _money),
    rule(ExpansionKind.MONEY, _CODE_BEFORE, _money),
    rule(ExpansionKind.MONEY, _AFTER, _money),
    rule(ExpansionKind.MONEY, _COINS, _coins),
)
