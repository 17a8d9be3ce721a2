"""What is no corpus, and texts that cannot be read."""

from pathlib import Path

import pytest
from corpora import Case, audio, check, rows

CASES: dict[str, Case] = {
    "nothing": Case({}, refused=("has no metadata.csv, no other list and no recordings",)),
    "recordings without texts": Case(audio(""), refused=("holds 12 recordings, but no texts; add a metadata.csv",)),
    "a folder in place of the list": Case(
        {**audio(""), "metadata.csv/clips.ods": None}, refused=("has a folder metadata.csv/, but no list",)
    ),
    "an archive": Case({"corpus.zip": b"PK"}, refused=("is an archive; unpack it",), source="corpus.zip"),
    "a spreadsheet": Case({"list.xlsx": b"PK"}, refused=("is a spreadsheet; save it as CSV",), source="list.xlsx"),
    "Parquet": Case({"data-0001.parquet": b"PAR1"}, refused=("a data set in Parquet", "unpack or export it")),
    "a Kaldi folder": Case({"wav.scp": "a a.wav\n", "text": "a hello\n"}, refused=("is a Kaldi folder",)),
    "a recording": Case(audio(""), refused=("is a recording; give the folder",), source="clip-00.wav"),
    "no such folder": Case({}, refused=("the corpus does not exist",), source="gone"),
    "UTF-16": Case(
        {"metadata.csv": rows("{n}|{t}").encode("utf-16"), **audio()},
        refused=("metadata.csv:1: is not UTF-8 but UTF-16; save the file as UTF-8",),
    ),
    "one line in another encoding": Case(
        {"metadata.csv": rows("{n}|{t}").encode() + "x|два слова\n".encode("cp1251"), **audio(), "wavs/x.wav": None},
        refused=("metadata.csv:13: is not UTF-8 (byte 0xe4)",),
    ),
    "words without columns": Case(
        {"list.txt": rows("{n} hello"), **audio()}, refused=("its lines have no columns",), source="list.txt"
    ),
    "a text of 100,000 characters": Case(
        {"metadata.csv": rows("{n}|{t}") + f"x|{'long ' * 20_000}\n", **audio(), "wavs/x.wav": None},
        refused=("metadata.csv:13: the text of 'x' has 99,999 characters, which no clip can hold",),
    ),
    "a line of two million bytes": Case(
        {"metadata.csv": rows("{n}|{t}") + "x|" + "long " * 400_000 + "\n", **audio()},
        refused=("metadata.csv:13: the line is longer than 1,048,576 bytes",),
    ),
    "lines of ten thousand columns": Case(
        {"metadata.csv": ("a|" * 10_000 + "\n") * 100}, refused=("has lines of more than 200 columns",)
    ),
    "all lines in another encoding": Case(
        {"metadata.csv": ("два|слова\n" * 1500).encode("cp1251")}, refused=("not UTF-8: 1500",)
    ),
    "faults of many kinds at once": Case(
        {
            "metadata.csv": rows("{n}|{t}")
            + "gone|Lost.\n|Nameless.\nmute|\na|b|c|d\nclip-00|Again.\n../../x|Outside.\n",
            **audio(),
        },
        refused=(
            "A wrong number of columns: 1\n  metadata.csv:16",
            "No recording is named: 1\n  metadata.csv:14",
            "The recording does not exist: 1\n  metadata.csv:13",
            "The recording is outside of the corpus: 1\n  metadata.csv:18",
            "The recording is listed twice: 1\n  metadata.csv:17",
            "No text: 1\n  metadata.csv:15",
        ),
    ),
    "pairs where a list was said": Case(
        {"a.wav": None, "a.txt": "Hello.", "b.wav": None, "b.txt": "Bye."},
        refused=("has no list, but texts beside the recordings; `corpus.layout` is table, not pairs",),
        settings={"layout": "table"},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_corpus(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
