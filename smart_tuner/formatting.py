"""Figures, reasons and other values as text for terminals, notes, messages and pages."""

from collections.abc import Mapping
from typing import Any

from smart_tuner.masking import masked
from smart_tuner.outcome import OPENINGS, Cause
from trainer.control_codes import without_control_codes


def counted_causes(causes: Mapping[Cause, int]) -> str:
    """Most frequent first, such as "5 attention, 2 loss"."""
    return ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items(), key=lambda item: -item[1]))


def beside_cause(reason: str, cause: Cause | None) -> str:
    """The reason without its opening, for a display that shows the cause beside it."""
    return reason.removeprefix(OPENINGS.get(cause, "")) if cause else reason


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def finished_of(finished: int, target: int) -> str:
    """Such as "5 of 50 trials finished"; a study may have finished more than its last target."""
    if finished > target:
        return f"{counted(finished, 'trial')} finished, {target} asked for"
    return f"{finished} of {counted(target, 'trial')} finished"


def duration(seconds: float) -> str:
    """Such as 45 s, 12 min, 2 h 05 min, 3 d 4 h."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def readable(value: Any) -> str:
    """A value in short form, spelt as in YAML; JSON output has the exact one."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def params_line(params: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={readable(value)}" for name, value in params.items())


def first_line(reason: str) -> str:
    """A reason without the log lines that may follow it."""
    return reason.split("\n", 1)[0]


def printable(text: str, encoding: str) -> str:
    """The text without control codes, passwords, and letters that the terminal's encoding lacks."""
    return masked(without_control_codes(text)).encode(encoding, "replace").decode(encoding)


def bar(share: float, width: int, *, ascii_only: bool) -> tuple[str, str]:
    """The full and the empty part of a bar, distinct even without colour."""
    full = round(min(1.0, max(0.0, share)) * width)
    on, off = ("#", "-") if ascii_only else ("█", "░")
    return on * full, off * (width - full)
