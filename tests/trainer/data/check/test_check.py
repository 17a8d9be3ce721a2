"""A corpus is checked as `python -m trainer corpus-check` does it: figures, findings, refused rows, a cleaned copy."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from spoken_corpus import RATE, speech, text_of, write_corpus
from trainer_process import call_main

from trainer.config import CorpusConfig
from trainer.corpus_report import State
from trainer.data.check import cleaned
from trainer.data.check.limits import LIMITS, Kind
from trainer.data.corpus import list_corpus
from trainer.protocol import ExitCode

CLIPS = 30
NOISE = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)


def check(corpus: Path, *options: str, **keys: Any) -> dict[str, Any]:
    """The report of `corpus`, which is the folder `report` beside it."""
    config = corpus.with_name("config.json")
    config.write_text(json.dumps({"corpus": {"source": str(corpus), "validation_share": 0.3, **keys}}))
    out = corpus.with_name("report")
    assert call_main("corpus-check", f"--out={out}", *options, str(config)) == ExitCode.FINISHED
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def kinds(report: dict[str, Any]) -> dict[str, list[str]]:
    """The ids of the rows of each kind."""
    return {group["kind"]: [finding["id"] for finding in group["findings"]] for group in report["groups"]}


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 is noisy, 5 is 4 again, 7 has no recording, 9 is truncated, 11 has a wrong text, 13 letters without symbols."""
    texts = [text_of(number) for number in range(CLIPS)]
    noisy = speech(texts[3], 3)
    changed = {3: noisy + NOISE[: len(noisy)], 5: speech(texts[4], 4)}
    folder = write_corpus(tmp_path_factory.mktemp("spoiled") / "corpus", CLIPS, changed)
    listed = folder / "metadata.csv"
    lines = listed.read_text().splitlines()
    lines[5] = f"c005|{texts[4]}"
    lines[11] = "c011|a"
    lines[13] = "c013|ﬁ€"
    listed.write_text("\n".join(lines))
    (folder / "wavs" / "c007.wav").unlink()
    whole = folder / "wavs" / "c009.wav"
    whole.write_bytes(whole.read_bytes()[:-9000])
    return folder


@pytest.fixture(scope="module")
def report(spoiled: Path) -> dict[str, Any]:
    return check(spoiled, "--page", "--texts", f"--fix={spoiled.with_name('copy')}")


def test_findings_are_grouped_by_kind(report: dict[str, Any]) -> None:
    found = kinds(report)
    assert found[Kind.NOISY] == ["c003"]
    assert found[Kind.SAME_AUDIO] == ["c005"]
    assert found[Kind.WRONG_TEXT] == ["c011"]
    assert found[Kind.REFUSED] == []
    assert Kind.CUT not in found
    assert report["state"] == State.UNUSABLE


def test_rows_that_cannot_be_used_are_told_and_the_rest_is_measured(report: dict[str, Any]) -> None:
    refused = {fault["origin"]: fault["text"] for same in report["refused"] for fault in same["faults"]}
    assert set(refused) == {"metadata.csv:8", "metadata.csv:10", "metadata.csv:14"}
    assert "cut short" in refused["metadata.csv:10"]
    assert report["amount"]["rows"] == CLIPS
    assert report["amount"]["refused"] == 3
    assert report["amount"]["train"] + report["amount"]["validation"] == CLIPS - 3
    assert sum(report["sample_rates"].values()) == CLIPS - 3


def test_each_character_that_cannot_be_read_is_named_once(report: dict[str, Any]) -> None:
    (characters,) = [same["characters"] for same in report["refused"] if same["characters"]]
    assert characters == ["'ﬁ' (U+FB01 LATIN SMALL LIGATURE FI): 1 in 1 text", "'€' (U+20AC EURO SIGN): 1 in 1 text"]


def test_letters_that_are_read_without_their_accents_are_a_warning_with_their_words(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 4)
    listed = corpus / "metadata.csv"
    first, second, *rest = listed.read_text().splitlines()
    listed.write_text("\n".join([f"{first} café", f"{second} café in Köln", *rest]))
    found = check(corpus, "--texts")
    (group,) = [group for group in found["groups"] if group["kind"] == Kind.ACCENTS]
    assert group["text"] == "é read as e in 2 texts (café); ö read as o in 1 text (Köln)"
    assert [each["written"] for each in found["expansions"] if each["kind"] == "accent"] == ["é", "ö"]


def test_the_first_clips_to_hear_are_of_different_kinds(report: dict[str, Any], spoiled: Path) -> None:
    worst = report["worst"]
    assert [clip["id"] for clip in worst[:3]] == ["c011", "c005", "c003"]
    for clip in worst:
        samples, rate = soundfile.read(spoiled.with_name("report") / clip["sound"])
        assert len(samples) / rate == pytest.approx(clip["seconds"], abs=0.01)
        assert (spoiled.with_name("report") / clip["picture"]).read_bytes().startswith(b"\x89PNG")


def test_a_cleaned_copy_has_the_usable_rows_and_needs_no_more_cleaning(report: dict[str, Any], spoiled: Path) -> None:
    copy = spoiled.with_name("copy")
    with (copy / cleaned.LEFT_OUT).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    left_out = [row["line"] for row in rows]
    assert left_out == ["metadata.csv:8", "metadata.csv:14", "metadata.csv:10", "metadata.csv:6"]
    names = [Path(row["recording"]).stem for row in rows]
    assert names == ["c007", "c013", "c009", "c005"]
    assert [row["text"] for row in rows] == [text_of(7), "ﬁ€", text_of(9), text_of(4)]
    assert report["cleaned"] == CLIPS - 4
    listing = list_corpus(CorpusConfig(source=str(copy)), spoiled)
    assert len(listing.train) + len(listing.validation) == CLIPS - 4
    again = check(copy)
    assert again["state"] == State.WARNINGS
    assert Kind.SAME_AUDIO not in kinds(again)
    assert not list(copy.parent.glob(".copy*"))


def test_the_recordings_of_a_copy_are_as_the_model_hears_them(report: dict[str, Any], spoiled: Path) -> None:
    before, _ = soundfile.read(spoiled / "wavs" / "c000.wav")
    after = soundfile.SoundFile(spoiled.with_name("copy") / "wavs" / "c000.wav")
    assert (after.samplerate, after.channels, after.subtype) == (RATE, 1, "PCM_16")
    assert 0 < after.frames < len(before)


@pytest.mark.parametrize("place", ["corpus/copy", "corpus", "full"])
def test_a_copy_is_written_neither_into_a_corpus_nor_over_anything(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"corpus": {"source": str(corpus)}}))
    arguments = ("corpus-check", f"--out={tmp_path / 'report'}", f"--fix={tmp_path / place}", str(config))
    assert call_main(*arguments) == ExitCode.BAD_INPUT
    assert f"--fix {tmp_path / place}: " in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == sorted([*before, config])


def test_a_copy_that_was_killed_is_begun_again(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 4)
    unfinished = tmp_path / ".copy.unfinished" / "wavs"
    unfinished.mkdir(parents=True)
    (unfinished / "left.wav").write_bytes(b"half")
    check(corpus, f"--fix={tmp_path / 'copy'}")
    assert sorted(path.name for path in (tmp_path / "copy" / "wavs").iterdir()) == [f"c00{i}.wav" for i in range(4)]
    assert not unfinished.exists()


def test_ids_that_are_paths_become_names_that_differ(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    names = ("a/x.wav", "b/x.wav", "A x.wav")
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, speech(text_of(number), number), RATE)
    rows = "".join(f"{name}|{text_of(number)}\n" for number, name in enumerate(names))
    (folder / "metadata.csv").write_text(rows)
    check(folder, f"--fix={tmp_path / 'copy'}")
    assert len({path.name.casefold() for path in (tmp_path / "copy" / "wavs").iterdir()}) == 3


def test_numbers_are_shown_as_they_are_spoken(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 4)
    listed = corpus / "metadata.csv"
    listed.write_text(listed.read_text().replace(text_of(1), "we have 12 of them"))
    report = check(corpus, "--texts")
    assert [(row["written"], row["spoken"], row["count"]) for row in report["expansions"]] == [("12", "twelve", 1)]
    assert (report["texts"][0]["written"], report["texts"][0]["read"]) == (
        "we have 12 of them",
        "we have twelve of them",
    )


def test_clips_that_are_too_long_are_counted_and_not_used(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 6)
    found = check(corpus, max_seconds=1.0)
    long = kinds(found)[Kind.TOO_LONG]
    assert 0 < len(long) <= 6
    assert found["amount"]["train"] + found["amount"]["validation"] == 6 - len(long)


def test_one_clip_alone_is_unusable_and_a_folder_without_a_list_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(write_corpus(tmp_path / "corpus", 1))["state"] == State.UNUSABLE
    (tmp_path / "empty").mkdir()
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"corpus": {"source": str(tmp_path / "empty")}}))
    assert call_main("corpus-check", f"--out={tmp_path / 'r'}", str(config)) == ExitCode.BAD_INPUT
    assert str(tmp_path / "empty") in capsys.readouterr().err


def test_each_limit_is_a_row_of_the_documented_table() -> None:
    text = (Path(__file__).parents[4] / "docs" / "corpus-check.md").read_text(encoding="utf-8")
    rows = [" ".join(line.split()) for line in text.splitlines() if line.startswith("| ")]
    for kind, limit in LIMITS.items():
        assert f"| {limit.severity} | {kind} | {limit.value:g} {limit.unit} {limit.what} | {limit.why} |" in rows


def refused(corpus: Path, *options: str, **keys: Any) -> None:
    config = corpus.with_name("config.json")
    config.write_text(json.dumps({"corpus": {"source": str(corpus), **keys}}))
    out = corpus.with_name("report")
    assert call_main("corpus-check", f"--out={out}", *options, str(config)) == ExitCode.BAD_INPUT
    assert not out.exists()


def test_a_corpus_of_several_speakers_is_neither_checked_nor_copied_before_one_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 12)
    lines = (corpus / "metadata.csv").read_text().splitlines()
    lines.append("c099|it has no recording")
    speakers = ["anna", "bert", "carl"] * 5
    (corpus / "metadata.csv").write_text("".join(f"{line}|{speakers[i]}\n" for i, line in enumerate(lines)))
    refused(corpus, f"--fix={tmp_path / 'copy'}")
    said = capsys.readouterr()
    assert "has 3 speakers" in said.err
    assert "cannot be used" not in said.out + said.err
    assert not (tmp_path / "copy").exists()
    assert check(corpus, f"--fix={tmp_path / 'copy'}", speaker="anna")["cleaned"] == 4
    assert check(corpus, f"--fix={tmp_path / 'all'}", speaker="all")["cleaned"] == 12


def test_a_corpus_in_a_language_that_is_not_read_is_refused_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path / "corpus", 4)
    texts = ["Das ist ein schöner Tag.", "Wir gehen über die Straße.", "Ich weiß es nicht.", "Die Tür ist zu."]
    (corpus / "metadata.csv").write_text("".join(f"c{i:03d}|{text}\n" for i, text in enumerate(texts)))
    refused(corpus)
    assert "look like the language `de`" in capsys.readouterr().err


def test_nothing_is_said_of_the_amount_where_no_row_can_be_used(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 3)
    for number in range(3):
        (corpus / "wavs" / f"c00{number}.wav").write_bytes(b"no audio")
    found = check(corpus)
    assert list(kinds(found)) == [Kind.REFUSED]
    assert (found["state"], found["summary"]) == (State.UNUSABLE, "none of 3 rows can be used")


def test_noise_without_speech_is_named_and_left_out_of_a_copy(tmp_path: Path) -> None:
    hiss = np.random.default_rng(0).normal(0, 10 ** (-67 / 20), 2 * RATE).astype(np.float32)
    quiet = speech(text_of(2), 2) / 100  # its noise is below a step of 16 bits, and its speech can be heard
    corpus = write_corpus(tmp_path / "corpus", 6, {1: hiss, 2: quiet})
    found = check(corpus, f"--fix={tmp_path / 'copy'}")
    assert kinds(found)[Kind.NO_SPEECH] == ["c001"]
    assert Kind.NOISY not in kinds(found)
    assert kinds(found)[Kind.QUIET] == ["c002"]
    names = sorted(path.stem for path in (tmp_path / "copy" / "wavs").iterdir())
    assert names == ["c000", "c002", "c003", "c004", "c005"]


def test_of_two_recordings_with_one_text_the_second_is_left_out_of_a_copy(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(4):
        soundfile.write(corpus / f"c{number}.flac", speech(text_of(number), number), RATE)
        (corpus / f"c{number}.txt").write_text(text_of(number))
    soundfile.write(corpus / "c1.wav", speech(text_of(1), 5), RATE)
    found = check(corpus, f"--fix={tmp_path / 'copy'}")
    assert found["cleaned"] == 4
    with (tmp_path / "copy" / cleaned.LEFT_OUT).open(encoding="utf-8", newline="") as file:
        assert [row["recording"] for row in csv.DictReader(file)] == ["c1.wav"]
