"""Mistakes in the input end with exit code 2 and one readable paragraph, before any training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
import soundfile
from commands import call_command

Setup = Callable[[Path], list[str]]


def corpus(folder: Path, *rows: str) -> list[str]:
    """A small corpus in LJSpeech layout, and the options that name it."""
    (folder / "wavs").mkdir(parents=True)
    time = np.arange(22050) / 22050
    for name in ("one", "two", "three"):
        soundfile.write(folder / "wavs" / f"{name}.wav", 0.3 * np.sin(2 * np.pi * 220 * time), 22050)
    lines = ["one|the first sentence|the first sentence", "two|the second|the second", *rows]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--corpus", str(folder)]


def no_corpus(folder: Path) -> list[str]:
    return ["--corpus", str(folder / "nowhere")]


def missing_file(folder: Path) -> list[str]:
    return corpus(folder, "four|a sentence without sound|a sentence without sound")


def letter_without_symbol(folder: Path) -> list[str]:
    return corpus(folder, "three|the third ☃|the third ☃")


def faulty_recordings(folder: Path) -> list[str]:
    options = corpus(folder, "three|words only|words only")
    soundfile.write(folder / "wavs" / "two.wav", np.zeros(0), 22050)
    (folder / "wavs" / "three.wav").write_text("this is no sound")
    return options


def study(folder: Path, search: str) -> list[str]:
    path = folder / "study.yaml"
    text = f"name: s\ncorpus: demo:en:24\npreset: tiny\nbudget: {{frames: 4000, reports: 4}}\nsearch:\n  {search}\n"
    path.write_text(text)
    return ["--study", str(path)]


def unknown_parameter(folder: Path) -> list[str]:
    return study(folder, "optimizer.learning_rate: {type: float, low: 1e-4, high: 1e-2}")


def empty_range(folder: Path) -> list[str]:
    return study(folder, "optimizer.lr: {type: float, low: 1e-2, high: 1e-4}")


def unwritable_workspace(folder: Path) -> list[str]:
    (folder / "file").write_text("")
    return ["--workspace", str(folder / "file" / "workspace")]


def unreachable_storage(folder: Path) -> list[str]:
    return ["--storage", "postgresql+psycopg://me:hunter2@127.0.0.1:9/studies"]


def no_trials(folder: Path) -> list[str]:
    return ["--trials", "0"]


CASES: dict[str, tuple[Setup, list[str]]] = {
    "missing corpus": (no_corpus, ["nowhere"]),
    "metadata line with a missing file": (missing_file, ["metadata.csv", "3", "four"]),
    "letter without symbol": (letter_without_symbol, ["metadata.csv", "3", "☃", "SNOWMAN"]),
    "an empty recording, and text named .wav": (faulty_recordings, ["metadata.csv:2", "two.wav", "three.wav"]),
    "unknown parameter": (unknown_parameter, ["study.yaml", "optimizer.learning_rate", "nearest: `optimizer.lr`"]),
    "low > high": (empty_range, ["study.yaml", "optimizer.lr", "0.01", "0.0001"]),
    "unwritable workspace": (unwritable_workspace, ["file/workspace", "--workspace"]),
    "unreachable storage": (unreachable_storage, ["127.0.0.1", "storage"]),
    "trials 0": (no_trials, ["trials", "0"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_ends_with_exit_code_2_and_one_paragraph(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    setup, expected = CASES[case]
    options = setup(tmp_path)
    where = [] if "--workspace" in options else ["--workspace", str(tmp_path / "ws")]
    done = call_command(capsys, "optimize", "--trials", "1", *where, *options)
    message = done.err.strip()
    assert done.code == 2, message
    for words in expected:
        assert words in message
    assert "Traceback" not in message
    assert "\n\n" not in message, "one paragraph"
    assert len(message) < 900
    assert "hunter2" not in done.out + done.err
    assert not list((tmp_path / "ws").glob("runs/*/*/events.jsonl")), "nothing was trained"
    store = tmp_path / "ws" / "studies.db"
    assert not store.exists() or not optuna.get_all_study_names(f"sqlite:///{store}"), "the name is still free"
