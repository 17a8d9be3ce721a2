"""Times of the day: 10:30 is "ten thirty", 10:05 "ten oh five", 10:00 "ten o'clock", 5 p.m. "five p m"."""

import re

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.spelling import cardinal

_HALF = r"(?P<half>[ap])(?:\.\s?m\.|m\b(?!\.\w))"
_HOUR = r"(?P<hour>[01]?\d|2[0-4])"
_CLOCK = re.compile(
    rf"(?<![\d:.,/]){_HOUR}:(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?:\s?{_HALF})?(?![\d:])",
    re.ASCII | re.IGNORECASE,
)
_FULL_HOUR = re.compile(rf"(?<![\d:.,/])(?P<hour>1[0-2]|0?[1-9])\s?{_HALF}", re.ASCII | re.IGNORECASE)
_RATIO = re.compile(r"(?<=\d)\s?:\s?(?=\d)")


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    spoken = cardinal(str(hour), "en")
    if minute:
        spoken += f"{' oh' if minute < 10 else ''} {cardinal(str(minute), 'en')}"
    elif not match["half"] and not match["second"]:
        spoken += " o'clock" if 0 < hour <= 12 else " hundred"
    if match["second"]:
        second = int(match["second"])
        spoken += f" and {cardinal(str(second), 'en')} second{'s' * (second != 1)}"
    return spoken + _half(match)


def _full_hour(match: re.Match[str]) -> str:
    return cardinal(str(int(match["hour"])), "en") + _half(match)


def _half(match: re.Match[str]) -> str:
    if not match["half"]:
        return ""
    stop = full_stop(match, before_capital=True) if match[0].endswith(".") else ""
    return f" {match['half'].lower()} m{stop}"


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.TIME, _CLOCK, _clock),
    rule(ExpansionKind.TIME, _FULL_HOUR, _full_hour),
    rule(ExpansionKind.SIGN, _RATIO, lambda match: "to"),  # two numbers with a colon that are no time
)
