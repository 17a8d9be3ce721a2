"""`python -m trainer evaluate`: what it writes, what it refuses before any time is spent, and how it is stopped."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trainer_process import SMALL, call_main

from smart_tuner.evaluation import read_evaluation
from smart_tuner.figures import (
    ANOTHER,
    CEILING,
    DISTANCE,
    FAILED,
    FREE_ALIGNMENT,
    MCD,
    REACHED_LIMIT,
    RECOGNISED,
    REPEATS,
    SECONDS,
    SKIPPED,
    WORDS_WRONG,
)
from trainer import __main__ as door
from trainer import voice_format
from trainer.config import TextConfig, TrainerConfig
from trainer.dotted import merge
from trainer.evaluation import listener
from trainer.evaluation.command import LISTENER_IS_MISSING, PHONEMES_ARE_NO_WORDS, WITHOUT_RECORDINGS
from trainer.evaluation.verdict import Heard
from trainer.model import Tacotron2
from trainer.protocol import ExitCode
from trainer.text import SYMBOLS
from trainer.text.phoneme_symbols import PHONEMES
from trainer.voice_format import Voice

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def no_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "is_installed", lambda: False)


@pytest.fixture(autouse=True)
def griffin_lim(monkeypatch: pytest.MonkeyPatch) -> None:
    """HiFi-GAN would take seconds for each sound."""
    monkeypatch.setattr("trainer.vocoder.weights.PACKAGE", "not_installed")


@pytest.fixture(scope="module")
def voice(cache: Path) -> Path:
    """Untrained: a hum that does not end. Its corpus has three validation clips."""
    changes = {"corpus": {"validation_share": 0.125}, "text": {"language": "en"}, "paths": {"cache": str(cache)}}
    config = TrainerConfig.from_mapping(merge(SMALL, changes))
    torch.manual_seed(1)
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels)
    torch.nn.init.constant_(model.decoder.gate.bias, -20.0)
    path = cache / "a voice.pt"
    voice_format.save(path, Voice(model.state_dict(), config, SYMBOLS, {"loss": 1.0}))
    return path


def test_an_exported_voice_is_measured_as_the_voice_itself(voice: Path, tmp_path: Path) -> None:
    shared = tmp_path / "voice.safetensors"
    voice_format.save_to_share(shared, voice_format.load(voice))
    (tmp_path / "texts.txt").write_text("Good morning.\n", encoding="utf-8")
    figures = []
    for path in (voice, shared):
        out = tmp_path / f"of {path.suffix}"
        assert call_main("evaluate", str(path), "--out", str(out), f"--texts={tmp_path / 'texts.txt'}") == 0
        figures.append(read_evaluation(out).figures)
    assert figures[0] == pytest.approx(figures[1], nan_ok=True)
    assert figures[0]


def test_all_validation_sentences_are_measured_and_the_worst_can_be_seen_and_heard(voice: Path, tmp_path: Path) -> None:
    out = tmp_path / "рез ультат"
    assert call_main("evaluate", str(voice), "--out", str(out)) == ExitCode.FINISHED
    found = read_evaluation(out)
    assert (found.verdict, found.sentences, found.listened) == (Heard.MUTE, 3, 0)
    assert found.notes == [LISTENER_IS_MISSING.format(install=listener.how_to_install())]
    assert found.reservation.startswith("It rests on 3 sentences alone, and is uncertain")
    assert REACHED_LIMIT.of(found.figures) == "100%"
    assert found.figures[CEILING.name] < 2 < found.figures[ANOTHER.name]
    assert WORDS_WRONG.name not in found.figures
    assert {RECOGNISED, FAILED, DISTANCE, FREE_ALIGNMENT} <= {row.figure for row in found.compared}
    distances = [sentence.figures[DISTANCE] for sentence in found.worst]
    assert distances == sorted(distances, reverse=True)
    for sentence in found.worst:
        assert sentence.faults.startswith("endless: ")
        assert {kind: path.suffix for kind, path in sentence.files.items()} == {
            "alignment": ".png",
            "mel": ".png",
            "spoken": ".wav",
            "recorded": ".wav",
        }
        assert all(path.stat().st_size > 1000 for path in sentence.files.values())


def test_texts_need_no_recordings_and_each_can_be_heard(voice: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\ufeffGood morning. Who is it?\n\nIn 1984.\r\n", encoding="utf-8")
    assert call_main("evaluate", str(voice), "--out", str(tmp_path / "out"), "--texts", str(texts)) == 0
    found = read_evaluation(tmp_path / "out")
    assert (found.verdict, found.sentences) == (None, 3)
    assert found.notes[0] == WITHOUT_RECORDINGS
    measured = {row.figure for row in found.compared}
    assert {FREE_ALIGNMENT, SKIPPED, REPEATS, REACHED_LIMIT, SECONDS} <= measured
    assert not {MCD, DISTANCE, RECOGNISED, FAILED} & measured
    assert {(s.id, s.text, "spoken" in s.files, "recorded" in s.files) for s in found.worst} == {
        ("line 1", "good morning.", True, False),
        ("line 1", "who is it?", True, False),
        ("line 3", "in nineteen eighty-four.", True, False),
    }


def test_a_voice_of_phonemes_speaks_texts_in_its_language(voice: Path, tmp_path: Path) -> None:
    known = voice_format.load(voice)
    config = replace(known.config, text=TextConfig("phonemes", "en"))
    torch.manual_seed(1)
    weights = Tacotron2(config.model, len(PHONEMES), config.audio.n_mels).state_dict()
    voice_format.save(tmp_path / "voice.pt", Voice(weights, config, PHONEMES, {"loss": 1.0}))
    (tmp_path / "texts.txt").write_text("Dr. Lee.\n")
    arguments = ("evaluate", str(tmp_path / "voice.pt"), "--texts", str(tmp_path / "texts.txt"))
    assert call_main(*arguments, "--out", str(tmp_path / "out")) == ExitCode.FINISHED
    found = read_evaluation(tmp_path / "out")
    assert [sentence.text for sentence in found.worst] == ["dˈɑːktɚ lˈiː."]
    assert found.notes == [WITHOUT_RECORDINGS, PHONEMES_ARE_NO_WORDS]


def test_all_lines_that_cannot_be_spoken_are_reported_at_once(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("Good morning.\n你好\n...\nA $ sign.\n", encoding="utf-8")
    code = call_main("evaluate", str(voice), "--out", str(tmp_path / "out"), "--texts", str(texts))
    assert code == ExitCode.BAD_INPUT
    assert [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()] == [f"{texts}:{n}" for n in (2, 3, 4)]
    assert not (tmp_path / "out").exists()


def test_a_corpus_that_is_missing_or_unknown_is_an_error_that_says_how_to_name_one(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = voice_format.load(voice)
    gone = TrainerConfig.from_mapping(merge(SMALL, {"corpus": {"source": str(tmp_path / "gone")}}))
    for name, config, figures, message in (
        ("moved.pt", gone, {"loss": 1.0}, "the corpus does not exist"),
        ("imported.pt", known.config, None, "was imported"),
    ):
        voice_format.save(tmp_path / name, Voice(known.weights, config, known.symbols, figures))
        arguments = ("evaluate", str(tmp_path / name), "--out", str(tmp_path / "out"))
        assert call_main(*arguments) == ExitCode.BAD_INPUT
        error = capsys.readouterr().err
        assert message in error
        assert "--corpus" in error


def test_a_folder_with_other_files_is_left_alone(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text("mine")
    assert call_main("evaluate", str(voice), "--out", str(tmp_path)) == ExitCode.BAD_INPUT
    assert "name another folder with --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_stop_leaves_the_earlier_evaluation_as_it_was(
    voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "summary.json").write_text(json.dumps({"earlier": True}))
    (out / "sentences.csv").touch()

    def stop_at(done: int, total: int, what: str) -> None:
        if what.startswith("sentences") and done == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(door, "_show_text", stop_at)
    assert call_main("evaluate", str(voice), "--out", str(out)) == ExitCode.STOPPED
    assert capsys.readouterr().err == f"received SIGTERM; {out} is as it was\n"
    assert json.loads((out / "summary.json").read_text()) == {"earlier": True}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_device_is_checked_before_any_time_is_spent(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("Good morning.")
    for arguments, message in (
        (("--device", "nonsense"), "must be auto, cpu, cuda or one such as cuda:1, but got 'nonsense'"),
        (("--device", "cuda:7", "--texts", str(texts)), "--device is 'cuda:7', but torch finds"),
    ):
        assert call_main("evaluate", str(voice), "--out", str(tmp_path / "out"), *arguments) == ExitCode.BAD_INPUT
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_voice_with_symbols_in_other_rows_is_refused(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = voice_format.load(voice)
    symbols = (*SYMBOLS[:20], *reversed(SYMBOLS[20:]))
    voice_format.save(tmp_path / "other.pt", Voice(known.weights, known.config, symbols, known.figures))
    assert call_main("evaluate", str(tmp_path / "other.pt"), "--out", str(tmp_path / "out")) == ExitCode.BAD_INPUT
    assert "by the features of the corpus; name a corpus with --corpus" in capsys.readouterr().err


def test_the_folder_may_be_a_link_but_not_the_current_one(
    voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("Good morning.")
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    assert call_main("evaluate", str(voice), "--out", str(tmp_path / "link"), "--texts", str(texts)) == 0
    assert (tmp_path / "link").is_symlink()
    assert read_evaluation(tmp_path / "here").sentences == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "link", "texts.txt"]
    monkeypatch.chdir(tmp_path / "here")
    assert call_main("evaluate", str(voice), "--out", ".", "--texts", str(texts)) == ExitCode.BAD_INPUT
    assert "is the current folder" in capsys.readouterr().err
