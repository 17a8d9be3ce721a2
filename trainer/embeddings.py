"""The rows of an embedding for another table of symbols: those of shared symbols are copied, new ones get a start.

Does not cover where the tables come from (`trainer.text`, `trainer.nvidia.symbols`).

Shapes: S' symbols of the table that the rows belong to, S of the other one, C embedding width.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.text.symbols import PAD_ID

EMBEDDING = "encoder.embedding.weight"  # the name of the rows among the weights of a model
NOISE = 0.1  # of new rows, in standard deviations of the trained ones


@dataclass(frozen=True, eq=False)
class Mapped:
    """An embedding for another table. Symbols are taken (their row is copied), new (they had no row), or left out."""

    rows: Tensor  # (symbols, embedding width)
    taken: tuple[str, ...]
    new: tuple[str, ...]
    left_out: tuple[str, ...]


def mapped(
    embedding: Tensor, symbols: Sequence[str], wanted: Sequence[str], trained: Collection[str], seed: int
) -> Mapped:
    """(S', C) rows of `symbols` -> (S, C) rows of `wanted`; the first symbol of both is padding.

    trained: those of `symbols` whose rows were trained; the others are not taken. New rows are the mean of the trained
    ones, near to what the layers above know, with a little noise by `seed`, so that symbols differ.
    """
    assert len(embedding) == len(symbols)
    row_of = {symbol: row for row, symbol in enumerate(symbols) if row != PAD_ID and symbol in trained}
    known = embedding[list(row_of.values())] if row_of else embedding
    spread = known.std(dim=0, correction=0)
    noise = torch.randn(len(wanted), embedding.shape[1], generator=torch.Generator().manual_seed(seed))
    rows = known.mean(dim=0) + NOISE * spread * noise
    rows[PAD_ID] = embedding[PAD_ID]
    spoken = (*wanted[:PAD_ID], *wanted[PAD_ID + 1 :])
    taken = tuple(symbol for symbol in spoken if symbol in row_of)
    for symbol in taken:
        rows[wanted.index(symbol)] = embedding[row_of[symbol]]
    return Mapped(rows, taken, without(spoken, taken), without(row_of, taken))


def spelled(symbols: Sequence[str], most: int | None = None) -> str:
    """For people. most: how many are listed at most."""
    listed = " ".join(repr(symbol) if symbol.isspace() else symbol for symbol in symbols[:most]) or "none"
    return listed if len(symbols[:most]) == len(symbols) else f"{listed} ..."


def without(symbols: Iterable[str], excluded: Iterable[str]) -> tuple[str, ...]:
    known = set(excluded)
    return tuple(symbol for symbol in symbols if symbol not in known)
