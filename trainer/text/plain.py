"""The same text in one form: composed (NFC), with plain quotes, dashes and spaces, before any rule looks at it.

Covers what is the same in all languages. A combining acute after a Russian vowel stays apart: Unicode has no such
letter. Letters keep their accents and their case.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NARROW = "\u00a0\u202f\u2009\u2007"  # spaces that typesetters put between groups of thousands
DASHES = "–—"  # kept until the rules have seen them: between numbers, the first one means "to"

_SIGNS: Mapping[str, str] = {
    **dict.fromkeys("«»“”„‟″", '"'),
    **dict.fromkeys("‘’‚‛′ʼ`´", "'"),
    **dict.fromkeys("‐‑‒―−", "-"),
    "…": "...",
    "[": "(",
    "]": ")",
}


@dataclass(frozen=True)
class Plain:
    """positions: for each character of `text`, its index in the composed text."""

    text: str
    positions: tuple[int, ...]


def plain(written: str) -> Plain:
    composed = unicodedata.normalize("NFC", written)
    text: list[str] = []
    positions: list[int] = []
    for position in range(len(composed)):
        for sign in _plain(composed, position, text):
            text.append(sign)
            positions.append(position)
    return Plain("".join(text), tuple(positions))


def _plain(composed: str, position: int, before: Sequence[str]) -> str:
    character = composed[position]
    if not character.isspace():
        return _SIGNS.get(character, character)
    around = composed[max(0, position - 1) : position] + composed[position + 1 : position + 2]
    if character in NARROW and len(around) == 2 and around.isdigit():
        return NARROW[0]
    return "" if before[-1:] == [" "] else " "
