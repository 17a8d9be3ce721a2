"""Integers, thousands separators, decimals, ordinals (1st), a minus that is clearly a sign, leading zeros (007),
versions (2.0.1 is "two point zero point one") and lists (1,2,3).
"""

import re

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.plain import NARROW
from trainer.text.spelling import LONGEST, cardinal, decimal, ordinal

GROUPED = rf"\d{{1,3}}(?:[,{NARROW[0]}]\d{{3}}){{1,6}}(?!\d)"
MINUS = r"(?P<sign>(?<![^\s(\"'])-)?(?<!\d)"

# \d means 0-9: other digits have no symbol.
_ORDINAL = re.compile(rf"{MINUS}(?P<whole>{GROUPED}|\d+)(?:st|nd|rd|th)(?![a-z])", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(
    rf"{MINUS}(?:(?P<chain>(?!{GROUPED})\d+(?:[.,]\d+){{2,}})|(?P<whole>{GROUPED}|\d+)(?:\.(?P<fraction>\d+))?)",
    re.ASCII,
)


def _ordinal(match: re.Match[str]) -> str | None:
    whole = only_digits(match["whole"])
    return _sign(match) + ordinal(int(whole), "en") if len(whole) <= LONGEST else None


def _number(match: re.Match[str]) -> str:
    if match["chain"]:
        runs = re.sub(r"\d+", lambda run: cardinal(run[0], "en"), match["chain"])
        return _sign(match) + runs.replace(".", " point ").replace(",", ", ")
    return _sign(match) + spoken(match["whole"], match["fraction"])


def _sign(match: re.Match[str]) -> str:
    return "minus " if match["sign"] else ""


def only_digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def spoken(whole: str, fraction: str | None) -> str:
    """A number that may be grouped, with its decimals."""
    digits = only_digits(whole)
    return decimal(digits, fraction, "en") if fraction else cardinal(digits, "en")


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.ORDINAL, _ORDINAL, _ordinal),
    rule(ExpansionKind.NUMBER, _NUMBER, _number),
)
