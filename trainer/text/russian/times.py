"""Times of the day: 10:30 is "десять тридцать", 10:05 "десять ноль пять", 10:00 "десять часов".

In the case of the preposition: с 10:30 is "с десяти тридцати".
"""

import re

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.russian.agreement import DATIVE, GENITIVE, SINCE, counted, word_before
from trainer.text.spelling import cardinal

_CLOCK = re.compile(
    r"(?<![\d:.,/])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?![\d:])", re.ASCII
)
_RATIO = re.compile(r"(?<=[0-9])\s?:\s?(?=[0-9])")


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    case = _case(word_before(match.string, match.start()))
    spoken = cardinal(str(hour), "ru", case=case)
    if minute or match["second"]:
        spoken += f"{' ноль' if minute < 10 else ''} {cardinal(str(minute), 'ru', case=case)}"
    else:
        spoken += f" {counted('час', hour, case)[0]}"
    if match["second"]:
        second = int(match["second"])
        word, gender = counted("секунда", second, case)
        spoken += f" {cardinal(str(second), 'ru', case=case, gender=gender)} {word}"
    return spoken


def _case(before: str) -> str:
    if before in GENITIVE or before in SINCE:
        return "g"
    return "d" if before in DATIVE else "n"


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.TIME, _CLOCK, _clock),
    rule(ExpansionKind.SIGN, _RATIO, lambda match: "к"),  # two numbers with a colon that are no time
)
