"""Clips that a run should not train on, by a file that the user names as `corpus.leave_out`."""

import csv
from collections.abc import Set as AbstractSet
from pathlib import Path

from trainer.errors import CorpusError
from trainer.protocol import RunDir

SHOWN = 5  # ids in an error


def ids_to_leave_out(path: str) -> frozenset[str]:
    """The ids in a file: the column `id` of a table with a header, such as suspects.csv, else the first column.

    None where `path` is "". Raises CorpusError where the file cannot be read.
    """
    if not path:
        return frozenset()
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise CorpusError(f"`corpus.leave_out`: {path}: cannot be read ({error}); correct the path.") from error
    rows = [row for row in rows if any(row)]
    if rows and "id" in rows[0]:
        column = rows[0].index("id")
        return frozenset(row[column] for row in rows[1:] if len(row) > column)
    return frozenset(row[0] for row in rows)


def refuse_own_list(path: str, run: RunDir) -> None:
    """Raises CorpusError where `path` is the list that the run itself writes."""
    if path and Path(path).resolve() == run.suspects.resolve():
        raise CorpusError(
            f"`corpus.leave_out`: {path}: is written by this run itself, which would change its own corpus; copy the "
            "file, and name the copy."
        )


def refuse_unknown(ids: AbstractSet[str]) -> None:
    """Raises CorpusError for ids of no training clip."""
    if ids:
        shown = ", ".join(sorted(ids)[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
        raise CorpusError(
            f"`corpus.leave_out`: {len(ids)} of its ids are no clips that are trained on: {shown}. Remove them from "
            "the file; clips for validation stay, so that figures can be compared."
        )
