"""The symbols that the model reads: one table for English and Russian, and the way there and back.

Covers the table, `encode` and `decode`. Does not cover how a text comes to hold nothing but symbols:
see `trainer.text.normalise`. The order is part of every checkpoint: new symbols go to the end.
"""

from collections.abc import Iterable

PAD = "_"
SPACE = " "
PUNCTUATION = "!'\"(),-.:;?"
STRESS = "+"  # stands before the stressed vowel: "з+амок" is a castle, "зам+ок" a lock
LATIN = "abcdefghijklmnopqrstuvwxyz"
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
VOWELS = "aeiouyаеёиоуыэюя"

SYMBOLS: tuple[str, ...] = (PAD, SPACE, *PUNCTUATION, STRESS, *LATIN, *CYRILLIC)
PAD_ID = 0
assert SYMBOLS[PAD_ID] == PAD
assert len(LATIN) == 26
assert len(CYRILLIC) == 33
assert len(set(SYMBOLS)) == len(SYMBOLS)

READABLE = frozenset(SYMBOLS) - {PAD}
_IDS = {symbol: i for i, symbol in enumerate(SYMBOLS) if symbol != PAD}


def encode(normalised: str) -> list[int]:
    """One id in 1..len(SYMBOLS)-1 per character.

    Raises KeyError for a character without a symbol: the text did not come from `normalise`.
    """
    return [_IDS[character] for character in normalised]


def decode(ids: Iterable[int]) -> str:
    """The text of `ids`; padding, which stands for no character, is left out."""
    return "".join(SYMBOLS[i] for i in ids if i != PAD_ID)
