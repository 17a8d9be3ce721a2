"""Lists of recordings: how they are read and split, and how faulty lines are reported."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trainer.config import ColumnsConfig, CorpusConfig, TextConfig
from trainer.data.corpus import Corpus, list_corpus, utterances
from trainer.errors import CorpusError


def _wav(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), 0.1 * np.ones(400), 22050, format="WAV")


def _ljspeech(folder: Path, metadata: str | bytes, names: tuple[str, ...] = ("a", "b", "c")) -> Path:
    for name in names:
        _wav(folder / "wavs" / f"{name}.wav")
    folder.mkdir(exist_ok=True)
    raw = metadata if isinstance(metadata, bytes) else metadata.encode()
    (folder / "metadata.csv").write_bytes(raw)
    return folder


def _load(source: Path, language: str = "auto", **settings: object) -> Corpus:
    config = replace(CorpusConfig(source=str(source)), **settings)
    return utterances(list_corpus(config, source.parent / "cache"), TextConfig(language=language))


def _all(corpus: Corpus) -> dict[str, str]:
    return {utterance.id: utterance.text for utterance in (*corpus.train, *corpus.validation)}


def test_ljspeech_layout_is_read(tmp_path: Path) -> None:
    folder = _ljspeech(tmp_path / "lj", "a|Mr. A|Mister A.\nb.wav|Two\nc|Three 3|\n")
    corpus = _load(folder)
    assert _all(corpus) == {"a": "mister a.", "b": "two", "c": "three three"}
    assert (len(corpus.train), len(corpus.validation), corpus.language) == (2, 1, "en")
    a = next(u for u in (*corpus.train, *corpus.validation) if u.id == "a")
    assert a.origin == "metadata.csv:1"
    assert a.wav == (folder / "wavs" / "a.wav").resolve()


WEIRD = ("a 0.wav", "a'; echo foo.wav", "клип ё.wav", "-rf.wav", "deep/er/x.wav", "$HOME.wav")


def test_file_lists_are_read_and_names_may_be_weird(tmp_path: Path) -> None:
    for name in WEIRD:
        _wav(tmp_path / name)
    (tmp_path / "train.csv").write_text("".join(f"{name}|Раз {i}\n" for i, name in enumerate(WEIRD)), encoding="utf-8")
    corpus = _load(tmp_path / "train.csv")
    assert set(_all(corpus)) == set(WEIRD)
    assert corpus.language == "ru"
    assert _all(corpus)["$HOME.wav"] == "раз пять"


def test_a_second_list_is_for_validation(tmp_path: Path) -> None:
    for name in "abc":
        _wav(tmp_path / f"{name}.wav")
    (tmp_path / "train.csv").write_text("a.wav|one\nb.wav|two\n")
    (tmp_path / "val.csv").write_text("c.wav|three\n")
    corpus = _load(tmp_path / "train.csv", validation_source=str(tmp_path / "val.csv"))
    assert [u.id for u in corpus.train] == ["a.wav", "b.wav"]
    assert [u.id for u in corpus.validation] == ["c.wav"]


def test_a_clip_in_both_lists_is_refused(tmp_path: Path) -> None:
    _wav(tmp_path / "a.wav")
    (tmp_path / "train.csv").write_text("a.wav|one\n")
    (tmp_path / "val.csv").write_text("./a.wav|one\n")
    with pytest.raises(CorpusError, match=r"val.csv:1: .*train.csv:1"):
        _load(tmp_path / "train.csv", validation_source=str(tmp_path / "val.csv"))


def test_a_byte_order_mark_crlf_and_blank_lines_are_accepted(tmp_path: Path) -> None:
    folder = _ljspeech(tmp_path / "lj", b"\xef\xbb\xbfa|one\r\n\r\nb|two\r\n  \r\nc|three")
    assert _all(_load(folder)) == {"a": "one", "b": "two", "c": "three"}


def test_the_split_depends_on_seed_and_names_only(tmp_path: Path) -> None:
    names = tuple(f"n{i:03d}" for i in range(100))
    lines = [f"{name}|text of {name}" for name in names]
    forward = _load(_ljspeech(tmp_path / "one", "\n".join(lines), names))
    backward = _load(_ljspeech(tmp_path / "two", "\n".join(reversed(lines)), names))
    held_out = [u.id for u in forward.validation]
    assert len(held_out) == 5
    assert held_out == [u.id for u in backward.validation]
    assert [u.id for u in forward.train] == [u.id for u in backward.train]
    assert set(held_out).isdisjoint(u.id for u in forward.train)
    assert [u.id for u in _load(tmp_path / "one", split_seed=7).validation] != held_out
    assert len(_load(tmp_path / "one", validation_share=0.5).validation) == 50


def test_two_clips_are_one_for_each_split(tmp_path: Path) -> None:
    corpus = _load(_ljspeech(tmp_path / "lj", "a|one\nb|two\n"), validation_share=0.5)
    assert (len(corpus.train), len(corpus.validation)) == (1, 1)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("a|one\nb\n", r"metadata.csv:2: .*1 column.*'b'"),
        ("a|one\nb|x|y|z\n", r"metadata.csv:2: .*4 column"),
        ("a|one\nb|  |\n", r"metadata.csv:2: .*empty"),
        ("a|one\n|two\n", r"metadata.csv:2: names no recording"),
        ("a|one\nb|two\na|three\n", r"metadata.csv:3: 'a' .*metadata.csv:1"),
        ("a|one\na.wav|two\n", r"metadata.csv:2: 'a' .*metadata.csv:1"),
        ("a|one\nnowhere|two\n", r"metadata.csv:2: .*nowhere.wav does not exist"),
        ("a|one\nb|two ☃\n", r"metadata.csv:2: '☃' \(U\+2603 SNOWMAN\)"),
        ("a|one\nb|?!\n", r"metadata.csv:2: .*no letter"),
        ("a|one\nb|two".encode("utf-16"), r"metadata.csv:1: is not UTF-8"),
        ("a|one\nb|два".encode("cp1251"), r"metadata.csv:2: is not UTF-8"),
        ("a|one\n", "2 are needed"),
        ("a|one\n../../secret|two\n", r"metadata.csv:2: .*is outside"),
        ("a|one\n" + "x" * 5000 + "|two\n", r"metadata.csv:2: .*cannot be a file name"),
        ("a|one\nb\0|two\n", r"metadata.csv:2: .*cannot be a file name"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, metadata: str | bytes, message: str) -> None:
    _wav(tmp_path / "secret.wav")
    folder = _ljspeech(tmp_path / "lj", metadata)
    with pytest.raises(CorpusError, match=message) as caught:
        _load(folder)
    assert len(str(caught.value)) < 1000


def test_a_recording_is_no_list(tmp_path: Path) -> None:
    _wav(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match=r"a\.wav: is a recording; give the folder"):
        _load(tmp_path / "a.wav")


def test_all_faulty_lines_are_reported_together_by_kind(tmp_path: Path) -> None:
    gone = "".join(f"gone{i}|text {i}\n" for i in range(25))
    folder = _ljspeech(tmp_path / "lj", f"a|one\n{gone}b|two|2|too many\nb||\nb|two\nb|two\n")
    with pytest.raises(CorpusError) as caught:
        _load(folder)
    lines = str(caught.value).splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        "A wrong number of columns: 1",
        "The recording does not exist: 25",
        "The recording is listed twice: 1",
        "No text: 1",
    ]
    assert [line.split(": ")[0] for line in lines[3:6]] == ["  metadata.csv:2", "  metadata.csv:3", "  metadata.csv:4"]
    assert lines[6] == "  ... and 22 more"


@pytest.mark.parametrize(
    ("escape", "message"),
    [
        ("../outside.wav", "is outside"),
        ("/etc/hostname", "is outside"),
        ("link.wav", "is a link to .*outside.wav, outside .*`corpus.follow_links: true`"),
        ("linked/outside.wav", "is a link to"),
    ],
)
def test_a_recording_outside_of_the_folder_is_refused(tmp_path: Path, escape: str, message: str) -> None:
    _wav(tmp_path / "outside.wav")
    corpus = tmp_path / "corpus"
    _wav(corpus / "a.wav")
    (corpus / "link.wav").symlink_to(tmp_path / "outside.wav")
    (corpus / "linked").symlink_to(tmp_path)
    (corpus / "list.csv").write_text(f"a.wav|one\n{escape}|two\n")
    with pytest.raises(CorpusError, match=rf"list.csv:2: .*{message}"):
        _load(corpus / "list.csv")


def test_absolute_paths_inside_the_folder_are_accepted(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        _wav(tmp_path / name)
    (tmp_path / "list.csv").write_text(f"{tmp_path / 'a.wav'}|one\nb.wav|two\n")
    assert len(_all(_load(tmp_path / "list.csv"))) == 2
    (tmp_path / "twice.csv").write_text(f"{tmp_path / 'a.wav'}|one\na.wav|two\n")
    with pytest.raises(CorpusError, match="listed already"):
        _load(tmp_path / "twice.csv")


def test_a_corpus_may_be_a_symbolic_link(tmp_path: Path) -> None:
    _ljspeech(tmp_path / "real", "a|one\nb|two\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert set(_all(_load(tmp_path / "link"))) == {"a", "b"}


def test_the_error_about_a_missing_corpus_lists_the_possible_sources(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere: .*demo:en"):
        _load(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(CorpusError, match=r"bare: has no metadata.csv"):
        _load(tmp_path / "bare")


def test_the_language_setting_overrides_the_script(tmp_path: Path) -> None:
    folder = _ljspeech(tmp_path / "lj", "a|one 2\nb|two 2\nc|x 2\n")
    assert _all(_load(folder, language="ru"))["a"] == "one два"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _ljspeech(tmp_path / "lj", "a|one\nb|two\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(os.environ, "USERPROFILE", str(tmp_path))
    config = CorpusConfig(source="~/lj")
    corpus = utterances(list_corpus(config, tmp_path / "cache"), TextConfig())
    assert set(_all(corpus)) == {"a", "b"}


@pytest.mark.parametrize(
    ("key", "value"), [("layout", "table"), ("columns", ColumnsConfig(text=2)), ("speaker", "anna")]
)
def test_settings_of_a_list_are_refused_for_an_embedded_corpus(tmp_path: Path, key: str, value: object) -> None:
    config = replace(CorpusConfig(source="demo:en:2"), **{key: value})
    with pytest.raises(CorpusError, match=rf"`corpus.{key}` has no effect on the embedded corpus demo:en:2"):
        list_corpus(config, tmp_path)


def test_each_list_of_two_has_its_own_layout(tmp_path: Path) -> None:
    for name in "abc":
        _wav(tmp_path / f"{name}.wav")
    (tmp_path / "train.csv").write_text("a.wav|one\nb.wav|two\n")
    (tmp_path / "val.csv").write_text("path,sentence\nc.wav,three\n")
    config = CorpusConfig(source=str(tmp_path / "train.csv"), validation_source=str(tmp_path / "val.csv"))
    listing = list_corpus(config, tmp_path)
    assert [line.text for line in listing.validation] == ["three"]
    assert "list (train.csv" in listing.layout
    assert "for validation: table with a header (val.csv" in listing.layout
