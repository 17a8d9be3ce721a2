"""A number with what it counts, where that is a sign or an abbreviation: 5 %, 100 руб., 2,5 млн."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.text.plain import NARROW
from trainer.text.russian.agreement import GENITIVE, plural
from trainer.text.spelling import LONGEST, cardinal, decimal

GROUPED = rf"\d{{1,3}}(?:[ {NARROW[0]}]\d{{3}}){{1,6}}(?!\d)"
AMOUNT = rf"(?P<whole>{GROUPED}|\d+)(?:[.,](?P<fraction>\d{{1,6}}))?"
MINUS = r"(?P<minus>(?<![^\s(\"'])-)?(?<!\d)"
SPACE = f"[ {NARROW[0]}]?"


@dataclass(frozen=True)
class Counted:
    """forms: of one, of two, of five."""

    forms: tuple[str, str, str]
    gender: str = "m"


SCALES: Mapping[str, Counted] = {
    "тыс": Counted(("тысяча", "тысячи", "тысяч"), "f"),
    "млн": Counted(("миллион", "миллиона", "миллионов")),
    "млрд": Counted(("миллиард", "миллиарда", "миллиардов")),
    "трлн": Counted(("триллион", "триллиона", "триллионов")),
}


def minus(match: re.Match[str]) -> str:
    """For the group of `MINUS`."""
    return "минус " if match["minus"] else ""


def only_digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def count(whole: str, fraction: str | None, counted: Counted, before: str = "") -> str:
    """before: the word before the number; after "до", "около" and others of the genitive, all is genitive."""
    digits = only_digits(whole)
    if fraction:
        return f"{decimal(digits, fraction, 'ru')} {counted.forms[1]}"
    number = int(digits[-LONGEST:])  # its last digits decide the form
    if before in GENITIVE:
        last = number % 10 == 1 and number % 100 != 11
        return f"{cardinal(digits, 'ru', case='g', gender=counted.gender)} {counted.forms[1 if last else 2]}"
    return f"{cardinal(digits, 'ru', gender=counted.gender)} {plural(number, counted.forms)}"
