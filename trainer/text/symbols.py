"""The symbols that the model reads: one table for English and Russian letters, with `encode` and `decode`.

Does not cover how a text is converted to symbols (`trainer.text.normalise`), nor the table of phonemes
(`trainer.text.phoneme_symbols`). Every checkpoint depends on the order: new symbols go to the end.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

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


def encode(text: str, symbols: Sequence[str] = SYMBOLS) -> list[int]:
    """One id in 1..len(symbols)-1 per character of `text`, which a front end with this table has read.

    Raises KeyError for a character without a symbol.
    """
    ids = _ids(tuple(symbols))
    return [ids[character] for character in text]


def decode(ids: Iterable[int], symbols: Sequence[str] = SYMBOLS) -> str:
    """The text of `ids`, without padding."""
    return "".join(symbols[i] for i in ids if i != PAD_ID)


@lru_cache(maxsize=8)
def _ids(symbols: tuple[str, ...]) -> dict[str, int]:
    return {symbol: i for i, symbol in enumerate(symbols) if i != PAD_ID}
