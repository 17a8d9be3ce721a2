"""What is said to be wrong with a sentence."""

import dataclasses

import pytest

from trainer.evaluation.faults import faults
from trainer.evaluation.sentences import Sentence, Spoken

PARTS = ("alignment", "diagonality", "focus", "coverage", "monotonicity", "backtracking")
FINE = Sentence(
    text="the driver noticed a rope",
    frames=100,
    endless=False,
    **dict.fromkeys(PARTS, 1.0),
    skipped=0.0,
    repeats=0,
    clip=3,
    recorded=104,
    mcd=4.0,
    hum_mcd=11.0,
    recognised=1.0,
    rank=1,
    margin=1.0,
    mistaken_for="good morning; jack",
    variance=0.9,
)


@pytest.mark.parametrize(
    ("changes", "clauses"),
    [
        ({}, []),
        ({"endless": True}, ["endless: its gate did not end it, and it was cut off at the limit"]),
        ({"recorded": 200}, ["cut: it ended after 50% of the recording's length"]),
        ({"skipped": 0.2}, ["skips 5 of its 25 characters"]),
        ({"skipped": 0.001}, ["skips 1 of its 25 characters"]),
        ({"repeats": 1}, ["repeats: attention moves back once"]),
        ({"repeats": 2, "rank": 2}, ["repeats: attention moves back 2 times", "nearer to “good morning; jack”"]),
        (
            {"recognised": 0.125},
            ["hardly recognised: 12% of it is nearest to its own place in the recording"],
        ),
    ],
)
def test_each_fault_has_its_clause(changes: dict[str, object], clauses: list[str]) -> None:
    assert list(faults(dataclasses.replace(FINE, **changes))) == clauses  # type: ignore[arg-type]


def test_a_text_without_a_recording_can_be_endless_but_not_cut() -> None:
    figures = {field.name: getattr(FINE, field.name) for field in dataclasses.fields(Spoken)}
    assert list(faults(Spoken(**{**figures, "frames": 1}))) == []
    assert len(list(faults(Spoken(**{**figures, "endless": True})))) == 1
