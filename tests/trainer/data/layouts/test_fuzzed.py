"""Any list is taken as it was meant, or refused: nothing else is raised, and no text comes from another column."""

import csv
import io
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainer.config import CorpusConfig
from trainer.data.corpus import content_hash, list_corpus
from trainer.errors import CorpusError

CLIPS = 12
bounded = settings(max_examples=25, deadline=None, derandomize=True, database=None)

_words = st.text(string.ascii_letters + "äéжяё中'’", min_size=2, max_size=9)
_sentences = st.builds(
    lambda words, end: " ".join(words) + end, st.lists(_words, min_size=3, max_size=9), st.sampled_from(["", ".", "!"])
)
_speech = st.builds(
    lambda sentence, form: form.format(sentence),
    _sentences,
    st.sampled_from(["{}", "{}", '"{}"', '"{}," he said', 'he said "{}"', "first, {}; then", "a | {}", "{} #1"]),
)
_texts = st.lists(_speech, min_size=CLIPS, max_size=CLIPS, unique=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings without a list."""
    folder = tmp_path_factory.mktemp("fuzzed") / "corpus"
    (folder / "wavs").mkdir(parents=True)
    for i in range(CLIPS):
        (folder / "wavs" / f"{i}.wav").touch()
    return folder


def _corpus(folder: Path, metadata: bytes, name: str = "metadata.csv") -> CorpusConfig:
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    (folder / name).write_bytes(metadata)
    return CorpusConfig(source=str(folder))


def _read(config: CorpusConfig) -> dict[str, str]:
    """name -> text of all clips."""
    cache = Path(config.source, "..", "cache")
    listing = list_corpus(config, cache)
    assert content_hash(config, cache) == listing.content
    return {line.name: line.text for line in (*listing.train, *listing.validation)}


def _names() -> list[str]:
    return [f"wavs/{i}.wav" for i in range(CLIPS)]


@bounded
@given(
    _texts, st.sampled_from([",", "\t", ";", "|"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.booleans()
)
def test_a_table_of_a_csv_writer_is_read_as_it_was_written(
    folder: Path, texts: list[str], delimiter: str, quoting: int, speaks: bool
) -> None:
    written = io.StringIO()
    table = csv.writer(written, delimiter=delimiter, quoting=quoting)
    table.writerow(["path", "sentence", *(["speaker"] if speaks else [])])
    table.writerows([name, text, *(["anna"] if speaks else [])] for name, text in zip(_names(), texts, strict=True))
    assert _read(_corpus(folder, written.getvalue().encode())) == dict(zip(_names(), texts, strict=True))


@bounded
@given(
    st.lists(_sentences, min_size=CLIPS, max_size=CLIPS, unique=True), st.sampled_from(["{}", '"{}"', '"{}," he said'])
)
def test_a_list_without_quoting_keeps_its_quotes(folder: Path, texts: list[str], form: str) -> None:
    # One line is all speech, as in LJSpeech: not yet the writing of a csv writer.
    lines = [text if i else form.format(text) for i, text in enumerate(texts)]
    metadata = "".join(f"{i}|{line}\n" for i, line in enumerate(lines))
    assert _read(_corpus(folder, metadata.encode())) == dict(zip(_names(), lines, strict=True))


@bounded
@given(
    st.lists(_sentences, min_size=CLIPS, max_size=CLIPS, unique=True),
    st.sampled_from(["{n}", "{n}.5", "anna", "id_{n}", "x/{n}.wav", "", "2024-01-{n:02d}", "{n} s"]),
    st.booleans(),
)
def test_no_other_column_is_taken_for_the_text(folder: Path, texts: list[str], form: str, before: bool) -> None:
    others = [form.format(n=i + 10) for i in range(CLIPS)]
    cells = [
        (str(i), other, text) if before else (str(i), text, other)
        for i, (text, other) in enumerate(zip(texts, others, strict=True))
    ]
    assert _read(_corpus(folder, "".join("|".join(row) + "\n" for row in cells).encode())) == dict(
        zip(_names(), texts, strict=True)
    )


_LIKELY = [
    b"|",
    b"\t",
    b",",
    b";",
    b'"',
    b'""',
    b"\n",
    b"\r\n",
    b"\\",
    b"{",
    b"}",
    b"[",
    b":",
    b"0",
    b"7.wav",
    b"wavs/1.wav",
]
_LIKELY += [
    b"path",
    b"text",
    b"speaker",
    b"../",
    b"/etc/passwd",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
    b"hello there",
    "ё".encode(),
]


@settings(bounded, max_examples=120)
@given(
    st.lists(st.one_of(st.sampled_from(_LIKELY), st.binary(max_size=6)), max_size=60).map(b"".join),
    st.sampled_from(["metadata.csv", "metadata.jsonl", "all.tsv"]),
    st.sampled_from(["auto", "ljspeech", "list", "table", "json", "pairs"]),
)
@example(b'{"file_name": "\\ud800", "text": "\\ud800"}\n', "metadata.jsonl", "auto")
@example(b"[" * 100_000, "metadata.jsonl", "json")
@example(b'"' * 200_000, "metadata.csv", "table")
@example(b"1|hello\r2|there\r", "metadata.csv", "auto")
def test_any_bytes_are_a_list_or_refused(folder: Path, metadata: bytes, name: str, layout: str) -> None:
    config = replace(_corpus(folder, metadata, name), layout=layout)
    try:
        found = _read(config)
    except CorpusError:
        return
    assert found
    assert all(name.startswith("wavs/") for name in found)
    assert all(found.values())
