"""The symbol table of NVIDIA/tacotron2, and the conversion of embeddings between its table and ours.

NVIDIA's checkpoints do not hold the table; for a voice that was trained with another one, a file must list it.
ARPAbet is the phoneme set of the CMU Pronouncing Dictionary: vowels without a stress or with one of three.

Shapes: S our symbols, S' symbols of the other table, C embedding width.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor

from trainer.embeddings import Mapped, mapped, without
from trainer.errors import VoiceError
from trainer.text.symbols import CYRILLIC, LATIN, PAD_ID, SYMBOLS

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
_STRESSES = ("", "0", "1", "2")
ARPABET = tuple(sorted([v + stress for v in _VOWELS.split() for stress in _STRESSES] + _CONSONANTS.split()))
TABLE: tuple[str, ...] = ("_", "-", *"!'(),.:;? ", *LATIN.upper(), *LATIN, *("@" + name for name in ARPABET))
assert len(ARPABET) == 84
assert len(TABLE) == len(set(TABLE)) == 148

SEED = 0  # of new rows, for symbols that a table lacks


def read_table(path: Path) -> tuple[str, ...]:
    """One symbol per line, in the order of the embedding's rows; the first is padding. Raises VoiceError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise VoiceError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise VoiceError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start}).") from error
    table = [unicodedata.normalize("NFC", line) for line in text.removesuffix("\n").split("\n")]
    for line, symbol in enumerate(table, 1):
        if not symbol:
            raise VoiceError(f"{path}: line {line} is empty; each line must have one symbol, which may be a space.")
        if table.index(symbol) != line - 1:
            earlier = table.index(symbol) + 1
            raise VoiceError(
                f"{path}: line {line} repeats the symbol {symbol!r} of line {earlier}; list each symbol once."
            )
    return tuple(table)


def to_ours(embedding: Tensor, table: Sequence[str]) -> Mapped:
    """(S', C) rows of `table` -> (S, C) rows of `SYMBOLS`. Symbols that it lacks get new rows, always the same."""
    return mapped(embedding, table, SYMBOLS, table, SEED)


def to_theirs(embedding: Tensor, symbols: Sequence[str]) -> Mapped:
    """(S, C) rows of `symbols` -> (148, C) rows of `TABLE`. Capitals get small letters' rows; the rest is zero."""
    assert len(embedding) == len(symbols)
    rows = embedding.new_zeros(len(TABLE), embedding.shape[1])
    row_of = {symbol: row for row, symbol in enumerate(symbols) if row != PAD_ID}
    rows[PAD_ID] = embedding[PAD_ID]
    for row, symbol in enumerate(TABLE):
        if row != PAD_ID and symbol.lower() in row_of:
            rows[row] = embedding[row_of[symbol.lower()]]
    taken = tuple(symbol for symbol in row_of if symbol in TABLE)
    new = tuple(symbol for symbol in TABLE[PAD_ID + 1 :] if symbol.lower() not in row_of)
    return Mapped(rows, taken, new, without(row_of, taken))


def spells_a_language(table: Iterable[str]) -> bool:
    """Whether all letters of English, or all of Russian, are in `table`."""
    known = set(table)
    return known >= set(LATIN) or known >= set(CYRILLIC)
