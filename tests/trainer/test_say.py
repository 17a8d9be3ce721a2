"""`python -m trainer say`: what is written where, what is refused before anything is spoken, and further attempts."""

import errno
import io
import os
import stat
import wave
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from endless_voice import RATE, endless_voice
from trainer_process import call_main

from trainer import voice_format
from trainer.config import AudioConfig
from trainer.model import Tacotron2Output
from trainer.protocol import ExitCode
from trainer.synthesis import ATTEMPTS, PAUSE, Sentence, Synthesizer
from trainer.vocoder.vocoders import GriffinLim, Vocoder
from trainer.voice_format import Voice

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ends each sentence at once."""
    path = tmp_path_factory.mktemp("voice") / "best.pt"
    voice_format.save(path, endless_voice(gate=10.0))
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_text_becomes_a_file_and_each_sentence_a_line(
    voice: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_main("say", str(voice), "Good morning. Who is it?") == ExitCode.FINISHED
    printed = capsys.readouterr()
    assert printed.out == "speech.wav\n"
    first, *lines = printed.err.splitlines()
    assert first == f"{voice}, Griffin-Lim"
    assert [line.split(",")[0].strip() for line in lines] == ["“good morning.”", "“who is it?”"]
    assert all("real-time factor" in line and "alignment" in line for line in lines)
    samples, rate = soundfile.read("speech.wav")
    assert rate == RATE
    assert len(samples) > PAUSE * RATE
    assert [path.name for path in folder.iterdir()] == ["speech.wav"]


def test_voice_and_vocoder_are_on_the_device_that_is_named(
    voice: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used: list[torch.device] = []

    def vocoder(name: str, audio: AudioConfig, device: torch.device) -> GriffinLim:
        used.append(device)
        return GriffinLim(audio)

    class Watched(Synthesizer):
        def __init__(self, voice: Voice, vocoder: Vocoder, device: torch.device) -> None:
            used.append(device)
            super().__init__(voice, vocoder, "cpu")

    monkeypatch.setattr("trainer.vocoder.vocoders.open_vocoder", vocoder)
    monkeypatch.setattr("trainer.synthesis.Synthesizer", Watched)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert call_main("say", str(voice), "Hello.", "--device", "cuda:1") == ExitCode.FINISHED
    assert used == [torch.device("cuda", 1)] * 2
    used.clear()
    assert call_main("say", str(voice), "Hello.") == ExitCode.FINISHED
    assert used == [torch.device("cpu")] * 2
    assert call_main("say", str(voice), "Hello.", "--device", "cuda:7") == ExitCode.BAD_INPUT
    assert "--device is 'cuda:7', but torch finds 2 CUDA devices" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b.wav", "clip.flac", "clip.ogg"])
def test_several_texts_become_numbered_files(voice: Path, folder: Path, name: str) -> None:
    (folder / "texts.txt").write_text("Good morning.\n\nWho is it?\n", encoding="utf-8")
    assert call_main("say", str(voice), "--texts", "texts.txt", "--out", name) == ExitCode.FINISHED
    path = Path(name)
    written = [path.with_name(f"{path.stem}-{number:03d}{path.suffix}") for number in (1, 2)]
    assert sorted(p.name for p in folder.iterdir() if p.name != "texts.txt") == [p.name for p in written]
    assert all(soundfile.info(p).samplerate == RATE for p in written)


def test_each_line_of_a_file_is_said_with_its_file_and_words_without_their_accents(
    voice: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "texts.txt").write_text("Good morning.\n\nA café.\n", encoding="utf-8")
    assert call_main("say", str(voice), "--texts", "texts.txt") == ExitCode.FINISHED
    printed = capsys.readouterr()
    assert printed.out == "speech-001.wav\nspeech-002.wav\n"
    lines = [line for line in printed.err.splitlines() if line.startswith("texts.txt")]
    assert lines == [
        "texts.txt:3: read without accents: café",
        "texts.txt:1: speech-001.wav",
        "texts.txt:3: speech-002.wav",
    ]


def test_letters_that_the_voice_was_not_trained_on_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = endless_voice(gate=10.0)
    voice_format.save(tmp_path / "few.pt", replace(voice, trained=(*"dghimnor .",)))
    assert call_main("say", str(tmp_path / "few.pt"), "Good morning.", "Да; yes.") == ExitCode.FINISHED
    lines = [line for line in capsys.readouterr().err.splitlines() if "in no text" in line]
    assert lines == ["text 2: in no text of this voice's corpus: д, а, y, e, s; their sounds are guesses"]


def test_the_verdict_of_the_voice_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = {"alignment": 0.9, "failed": 0.0, "recognised": 0.2, "variance": 0.1, "mcd": 11.0, "hum_mcd": 12.0}
    figures = {f"free_running_{name}": value for name, value in measured.items()}
    voice_format.save(tmp_path / "hum.pt", replace(endless_voice(gate=10.0), figures=figures))
    assert call_main("say", str(tmp_path / "hum.pt"), "Hi.") == ExitCode.FINISHED
    _, verdict, sentence = capsys.readouterr().err.splitlines()
    assert verdict.startswith("What is heard of this voice: aligned, but a hum. ")
    assert "nan" not in sentence


def test_standard_input_is_one_text(voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_main("say", str(voice), "Good morning. Who is it?", "--out", "given.wav") == ExitCode.FINISHED
    monkeypatch.setattr("sys.stdin", io.StringIO("Good morning.\nWho is it?\n"))
    assert call_main("say", str(voice), "--out", "read.wav") == ExitCode.FINISHED
    assert Path("read.wav").read_bytes() == Path("given.wav").read_bytes()


def test_standard_output_gets_the_same_sound_as_a_file(voice: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = "Good morning"
    assert call_main("say", str(voice), text, "--out", "file.wav") == ExitCode.FINISHED
    capfdbinary.readouterr()
    assert call_main("say", str(voice), text, "--out", "-") == ExitCode.FINISHED
    streamed = capfdbinary.readouterr().out
    with wave.open("file.wav") as file:
        expected = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert streamed[:4] == b"RIFF"
    assert streamed[4:8] == streamed[40:44] == b"\xff" * 4
    np.testing.assert_allclose(np.frombuffer(streamed[44:], np.int16), expected, atol=2)


def full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_standard_output_is_an_error_in_words(
    voice: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: False, buffer=SimpleNamespace(write=full_disk)))
    assert call_main("say", str(voice), "Good morning", "--out", "-") == ExitCode.NO_SPACE
    assert "--out -: cannot be written (No space left on device)" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_said(
    voice: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert call_main("say", str(voice), "Good morning", "--out", "a.wav") == ExitCode.BAD_INPUT
    assert "the folder . cannot be written to" in capsys.readouterr().err


def test_a_folder_that_is_missing_is_made_when_there_is_something_to_write(
    voice: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_main("say", str(voice), "...", "--out", "new/a b/speech.wav") == ExitCode.BAD_INPUT
    assert not list(folder.iterdir())
    assert call_main("say", str(voice), "Good morning.", "--out", "new/a b/speech.wav") == ExitCode.FINISHED
    assert [path.name for path in (folder / "new" / "a b").iterdir()] == ["speech.wav"]
    (folder / "folder.wav").mkdir()
    assert call_main("say", str(voice), "Good morning.", "--out", "folder.wav") == ExitCode.BAD_INPUT
    assert "--out folder.wav: is a folder; give the name of a file." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["speech.wav", "speech.flac", "speech.ogg"])
def test_a_full_disk_is_an_error_in_words(
    voice: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    assert call_main("say", str(voice), "Good morning.", "--out", name) == ExitCode.NO_SPACE
    assert f"--out {name}: cannot be written (No space left on device)" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_minutes_of_speech_become_a_compressed_file(voice: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GriffinLim, "sound", lambda vocoder, mel: np.zeros(180 * RATE, np.float32))
    assert call_main("say", str(voice), "Good morning.", "--out", "speech.ogg") == ExitCode.FINISHED
    assert soundfile.info(folder / "speech.ogg").duration == pytest.approx(180)


def test_all_texts_that_cannot_be_spoken_are_named_before_anything_is(
    voice: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_main("say", str(voice), "Good morning.", "你好", "...") == ExitCode.BAD_INPUT
    assert [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()] == ["text 2", "text 3"]
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "speech.mp3"), "must end with .wav, .flac, .ogg"),
        (("--out", "/dev/null/speech.wav"), "cannot be written: /dev/null is a file, not a folder"),
        (("--out", "-", "--play"), "--play and --out - exclude each other"),
        (("--texts", "missing.txt"), "--texts and texts on the command line exclude each other"),
        (("--vocoder", "missing.pth.tar"), "the vocoder does not exist"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    voice: Path, folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert call_main("say", str(voice), "Good morning.", *arguments) == ExitCode.BAD_INPUT
    assert message in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_a_player_gets_each_file_and_may_fail(
    voice: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = folder / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    assert call_main("say", str(voice), "Good morning.", "--play") == ExitCode.BAD_INPUT
    assert "no player is installed" in capsys.readouterr().err
    aplay = programs / "aplay"
    aplay.write_text('#!/bin/sh\necho "$@" >> played\necho no sound card >&2\nexit 1\n')
    aplay.chmod(aplay.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.defpath}")
    assert call_main("say", str(voice), "Good morning.", "--play") == ExitCode.FINISHED
    assert (folder / "played").read_text() == f"-q {folder / 'speech.wav'}\n"
    assert "aplay could not play it (no sound card)" in capsys.readouterr().err


def scripted(synthesizer: Synthesizer, monkeypatch: pytest.MonkeyPatch, attempts: list[str]) -> Sentence:
    """One sentence of twelve symbols; attempts: how attention moves in each, "endless" or "skip" or "good"."""
    text = "good morning"
    left = iter(attempts)

    def infer(tokens: torch.Tensor, lengths: torch.Tensor, limit: torch.Tensor) -> Any:
        kind = next(left)
        steps = int(limit[0]) // 8 + 1 if kind == "endless" else len(text)
        at = torch.arange(steps) * len(text) // steps
        if kind == "skip":
            at[at > 2] = len(text) - 1
        attention = torch.nn.functional.one_hot(at.clamp(max=len(text) - 1), len(text)).float()[None]
        mel = torch.zeros(1, 8 * steps, 8)
        return Tacotron2Output(mel, mel, torch.zeros(1, steps), attention, torch.tensor([steps]))

    monkeypatch.setattr(synthesizer._model, "infer", infer)
    return synthesizer.speak(text)


@pytest.mark.parametrize(
    ("attempts", "spoken", "ended", "skipped"),
    [
        (["good"], 1, True, False),
        (["endless", "good"], 2, True, False),
        (["endless", "skip", "good"], 3, True, False),
        (["endless", "skip", "endless"], 3, True, True),
        (["endless", "endless", "endless"], 3, False, False),
    ],
)
def test_a_sentence_that_fails_is_spoken_again_and_the_best_attempt_kept(
    monkeypatch: pytest.MonkeyPatch, attempts: list[str], spoken: int, ended: bool, skipped: bool
) -> None:
    assert len(attempts) <= ATTEMPTS
    voice = endless_voice()
    sentence = scripted(Synthesizer(voice, GriffinLim(voice.config.audio)), monkeypatch, attempts)
    assert (sentence.attempts, sentence.ended, sentence.skipped > 0) == (spoken, ended, skipped)
