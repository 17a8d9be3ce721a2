"""Integers with thousands separated by spaces, decimals, ordinals (1-й, 2-я, 3-го), a minus that is clearly a sign,
leading zeros (007), versions (2.0.1 is "два точка ноль точка один") and lists (1,2,3).

Cardinals agree with the noun after them as far as `trainer.text.russian.agreement` finds it.
"""

import re
from collections.abc import Mapping, Sequence

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.russian.agreement import Form, fitting, form
from trainer.text.russian.counted import GROUPED, MINUS, minus, only_digits
from trainer.text.spelling import LONGEST, cardinal, decimal, ordinal

_OBLIQUE = tuple(Form(case, "f") for case in "gpdi")
_ORDINALS: Mapping[str, Sequence[Form]] = {
    "й": (Form("n", "m"), *_OBLIQUE),
    "ой": (Form("n", "m"), *_OBLIQUE),
    **dict.fromkeys(("ый", "ий"), (Form("n", "m"),)),
    "ей": _OBLIQUE,
    **dict.fromkeys(("я", "ая"), (Form("n", "f"),)),
    "е": (Form("n", "n"), Form("n", plural=True), Form("a", plural=True)),
    "ое": (Form("n", "n"),),
    **dict.fromkeys(("ю", "ую"), (Form("a", "f"),)),
    **dict.fromkeys(("го", "ого"), (Form("g", "m"),)),
    **dict.fromkeys(("му", "ому"), (Form("d", "m"),)),
    "м": (Form("p", "m"), Form("p", "n"), Form("i", "m"), Form("i", "n"), Form("d", plural=True)),
    "ом": (Form("p", "m"),),
    **dict.fromkeys(("ым", "им"), (Form("i", "m"), Form("i", "n"), Form("d", plural=True))),
    **dict.fromkeys(("х", "ых"), (Form("g", plural=True),)),
    **dict.fromkeys(("ми", "ыми"), (Form("i", plural=True),)),
    "ые": (Form("n", plural=True),),
}
_CARDINALS: Mapping[str, str] = {"ти": "g", "мя": "i", "ью": "i", "тью": "i"}  # 5-ти, 2-мя
_SUFFIXES = "|".join(sorted((*_ORDINALS, *_CARDINALS), key=len, reverse=True))
_ORDINAL = re.compile(
    rf"{MINUS}(?P<whole>{GROUPED}|\d+)-(?P<ordinal>{_SUFFIXES})(?![а-яё])",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    rf"{MINUS}(?:(?P<chain>(?!{GROUPED})[0-9]+(?:[.,][0-9]+){{2,}})"
    rf"|(?P<whole>{GROUPED}|[0-9]+)(?:[.,](?P<fraction>[0-9]+))?)",
    re.ASCII,
)
_YEARS = re.compile(r"\s+(?:год[ыа]|гг\.)", re.IGNORECASE)


def _ordinal(match: re.Match[str]) -> str | None:
    whole = only_digits(match["whole"])
    suffix = match["ordinal"].lower()
    if len(whole) > LONGEST:
        return None
    if case := _CARDINALS.get(suffix) or ("g" if suffix == "х" and _is_few(int(whole)) else None):
        return minus(match) + cardinal(whole, "ru", case=case)
    forms = _ORDINALS[suffix]
    if _YEARS.match(match.string, match.end()):  # 1990-е годы
        forms = [each for each in forms if each.plural] or forms
    form = fitting(match.string, match.end(), forms)
    return minus(match) + ordinal(int(whole), "ru", **form.of_ordinal())


def _is_few(number: int) -> bool:
    """2-х is "двух", 90-х "девяностых"."""
    return number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14)


def _number(match: re.Match[str]) -> str:
    if match["chain"]:
        runs = re.sub(r"\d+", lambda run: cardinal(run[0], "ru"), match["chain"])
        return minus(match) + runs.replace(".", " точка ").replace(",", ", ")
    whole = only_digits(match["whole"])
    if match["fraction"]:
        return minus(match) + decimal(whole, match["fraction"], "ru")
    agreeing = form(int(whole), match.string, match.start(), match.end()).words() if len(whole) <= LONGEST else {}
    return minus(match) + cardinal(whole, "ru", **agreeing)


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.ORDINAL, _ORDINAL, _ordinal),
    rule(ExpansionKind.NUMBER, _NUMBER, _number),
)
