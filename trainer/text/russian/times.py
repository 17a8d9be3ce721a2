"""Times of the day: 10:30 is "десять тридцать", 10:05 "десять ноль пять", 10:00 "десять часов"."""

import re

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.russian.agreement import plural
from trainer.text.spelling import cardinal

_CLOCK = re.compile(
    r"(?<![\d:.,/])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?![\d:])", re.ASCII
)
_RATIO = re.compile(r"(?<=[0-9])\s?:\s?(?=[0-9])")
_HOURS = ("час", "часа", "часов")
_SECONDS = ("секунда", "секунды", "секунд")


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    spoken = cardinal(str(hour), "ru")
    if minute or match["second"]:
        spoken += f"{' ноль' if minute < 10 else ''} {cardinal(str(minute), 'ru')}"
    else:
        spoken += f" {plural(hour, _HOURS)}"
    if match["second"]:
        second = int(match["second"])
        spoken += f" {cardinal(str(second), 'ru', gender='f')} {plural(second, _SECONDS)}"
    return spoken


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.TIME, _CLOCK, _clock),
    rule(ExpansionKind.SIGN, _RATIO, lambda match: "к"),  # two numbers with a colon that are no time
)
