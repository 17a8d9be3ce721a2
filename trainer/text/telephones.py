"""Telephone numbers: +1 (555) 010-9999, 555-010-9999, 8 800 555-35-35. Groups are separated by pauses.

Does not cover numbers in one piece without `+`, which may be any number.
"""

import re
from collections.abc import Callable

from trainer.text.expansion import ExpansionKind, Rule, rule

_S = "[ \u00a0.-]"
_START = r"(?<![\w.,/:(+-])"
_END = r"(?![\w/]|[.,:-]\d)"
_INTERNATIONAL = rf"\+\d{{1,3}}{_S}?(?:\(\d{{1,5}}\){_S}?)?\d{{2,14}}(?:{_S}\d{{2,5}}){{0,4}}"
_WITH_AREA = rf"(?:[18]{_S}?)?\(\d{{3,5}}\){_S}?\d{{2,4}}(?:[ -]\d{{2,4}}){{1,2}}"
_GROUPED = r"(?:[18][ -])?\d{3}-\d{3}-(?:\d{4}|\d\d-\d\d)|\d{3}\.\d{3}\.\d{4}|0\d{2,4}[ -]\d{3,4}[ -]\d{3,4}"
_RUSSIAN = rf"8{_S}\d{{3}}{_S}\d{{3}}{_S}\d\d{_S}\d\d|\d{{3}}-\d\d-\d\d"
_NUMBER = re.compile(f"{_START}(?:{_INTERNATIONAL}|{_WITH_AREA}|{_GROUPED}|{_RUSSIAN}){_END}", re.ASCII)
_FEWEST, _MOST = 10, 15  # digits of an international number


def telephones(plus: str, group: Callable[[str], str]) -> Rule:
    """plus: the word of `+`; group: reads the digits of one group."""

    def speak(match: re.Match[str]) -> str | None:
        groups = re.findall(r"\d+", match[0])
        international = match[0].startswith("+")
        if international and not _FEWEST <= sum(map(len, groups)) <= _MOST:
            return None
        return f"{plus} " * international + ", ".join(map(group, groups))

    return rule(ExpansionKind.TELEPHONE, _NUMBER, speak)
