"""Integers with thousands separated by spaces, decimals, ordinals (1-й, 2-я, 3-го), a minus that is clearly a sign,
leading zeros (007), versions (2.0.1 is "два точка ноль точка один") and lists (1,2,3).

Cardinals agree with the noun after them as far as `trainer.text.russian.agreement` finds it.
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.russian.agreement import form
from trainer.text.russian.counted import GROUPED, MINUS, minus, only_digits
from trainer.text.spelling import LONGEST, cardinal, decimal, ordinal

# Suffix -> (case, gender, plural) of the ordinal, as num2words names them.
_ORDINALS: Mapping[str, tuple[str, str, bool]] = {
    **dict.fromkeys(("й", "ый", "ий", "ой"), ("n", "m", False)),
    **dict.fromkeys(("я", "ая"), ("n", "f", False)),
    **dict.fromkeys(("е", "ое"), ("n", "n", False)),
    **dict.fromkeys(("ю", "ую"), ("a", "f", False)),
    **dict.fromkeys(("го", "ого"), ("g", "m", False)),
    **dict.fromkeys(("му", "ому"), ("d", "m", False)),
    **dict.fromkeys(("м", "ом"), ("p", "m", False)),
    **dict.fromkeys(("ым", "им"), ("i", "m", False)),
    **dict.fromkeys(("х", "ых"), ("g", "m", True)),
    **dict.fromkeys(("ми", "ыми"), ("i", "m", True)),
    "ые": ("n", "m", True),
}
_ORDINAL = re.compile(
    rf"{MINUS}(?P<whole>{GROUPED}|\d+)-(?P<ordinal>{'|'.join(sorted(_ORDINALS, key=len, reverse=True))})(?![а-яё])",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    rf"{MINUS}(?:(?P<chain>(?!{GROUPED})[0-9]+(?:[.,][0-9]+){{2,}})"
    rf"|(?P<whole>{GROUPED}|[0-9]+)(?:[.,](?P<fraction>[0-9]+))?)",
    re.ASCII,
)
_DECADE = re.compile(r"\s+год[ыа]", re.IGNORECASE)


def _ordinal(match: re.Match[str]) -> str | None:
    whole = only_digits(match["whole"])
    case, gender, plural = _ORDINALS[match["ordinal"].lower()]
    if match["ordinal"] == "е" and _DECADE.match(match.string, match.end()):  # 1990-е годы
        plural = True
    if len(whole) > LONGEST:
        return None
    return minus(match) + ordinal(int(whole), "ru", case=case, gender=gender, plural=plural, animate=False)


def _number(match: re.Match[str]) -> str:
    if match["chain"]:
        runs = re.sub(r"\d+", lambda run: cardinal(run[0], "ru"), match["chain"])
        return minus(match) + runs.replace(".", " точка ").replace(",", ", ")
    whole = only_digits(match["whole"])
    if match["fraction"]:
        return minus(match) + decimal(whole, match["fraction"], "ru")
    agreeing = form(int(whole), match.string, match.start(), match.end()).words() if len(whole) <= LONGEST else {}
    return minus(match) + cardinal(whole, "ru", **agreeing)


def _sign(match: re.Match[str]) -> str:
    return "минус " if match["sign"] else ""


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.ORDINAL, _ORDINAL, _ordinal),
    rule(ExpansionKind.NUMBER, _NUMBER, _number),
)
