"""The symbols that the model reads: one table for English and Russian, with `encode` and `decode`.

Does not cover how a text is converted to symbols: see `trainer.text.normalise`. Every checkpoint depends on the order:
new symbols go to the end.
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
    """The text of `ids`, without padding."""
    return "".join(SYMBOLS[i] for i in ids if i != PAD_ID)
