"""Faults of a corpus are shown together: each kind with its number and its first examples."""

import shlex

import pytest
import yaml

from trainer.data.faults import CorpusFaults, Fault, FaultKind, grouped, refuse, setting
from trainer.errors import CorpusError


def test_each_kind_has_its_number_and_three_examples() -> None:
    missing = [Fault(FaultKind.MISSING, f"metadata.csv:{i}", f"{i}.wav does not exist.") for i in range(1, 119)]
    columns = [Fault(FaultKind.COLUMNS, "metadata.csv:17", "has 4 columns.")]
    assert grouped([*missing, *columns]).splitlines() == [
        "A wrong number of columns: 1",
        "  metadata.csv:17: has 4 columns.",
        "The recording does not exist: 118",
        "  metadata.csv:1: 1.wav does not exist.",
        "  metadata.csv:2: 2.wav does not exist.",
        "  metadata.csv:3: 3.wav does not exist.",
        "  ... and 115 more",
    ]


def test_one_fault_is_one_line() -> None:
    assert grouped([Fault(FaultKind.NO_TEXT, "list.txt:2", "has no text.")]) == "list.txt:2: has no text."


def test_faults_are_one_error_that_carries_them() -> None:
    refuse([])
    faults = (Fault(FaultKind.LINK, "a:1", "is a link."), Fault(FaultKind.LINK, "a:2", "is a link."))
    with pytest.raises(CorpusError, match="A link to a file outside of the corpus: 2") as refused:
        refuse(faults)
    assert isinstance(refused.value, CorpusFaults)
    assert refused.value.faults == faults


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        ("anna", "fixed.corpus.speaker=anna"),
        ("7", "fixed.corpus.speaker=7"),
        ("007", "'fixed.corpus.speaker=\"007\"'"),
        ("yes", "'fixed.corpus.speaker=\"yes\"'"),
        ("Anna B: x", "'fixed.corpus.speaker=\"Anna B: x\"'"),
        ("1e5", "'fixed.corpus.speaker=\"1e5\"'"),
    ],
)
def test_a_setting_can_be_copied_into_a_shell(value: str, argument: str) -> None:
    text = setting("speaker", value)
    assert text == f"`corpus.speaker: {value}` (of a study: --set {argument})"
    (given,) = shlex.split(argument)
    assert yaml.safe_load(given.partition("=")[2]) in (value, int(value) if value == "7" else value)
