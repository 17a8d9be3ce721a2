"""Telephone numbers, digit by digit: also short ones such as 555-0199, where a word or a zero says what they are."""

import re

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.spelling import cardinal
from trainer.text.telephones import telephones

_LOCAL = re.compile(
    r"(?:(?P<word>\b(?i:call|dial|phone|fax|tel|telephone)\.?:? (?:at )?)|(?<![\w.,/:$£€(+-]))"
    r"(?P<first>[2-9]\d\d)-(?P<last>\d{4})(?![\w/]|[.,:-]\d)",
    re.ASCII,
)
_FICTIONAL = "555"


def _digits(group: str) -> str:
    return " ".join(cardinal(digit, "en") for digit in group)


def _local(match: re.Match[str]) -> str | None:
    """A number such as 500-1000 may be a range."""
    if not match["word"] and match["first"] != _FICTIONAL and not match["last"].startswith("0"):
        return None
    word = (match["word"] or "").lower().replace("tel ", "telephone ").replace("tel.", "telephone")
    return f"{word}{_digits(match['first'])}, {_digits(match['last'])}"


RULES: tuple[Rule, ...] = (
    telephones("plus", _digits),
    rule(ExpansionKind.TELEPHONE, _LOCAL, _local),
)
