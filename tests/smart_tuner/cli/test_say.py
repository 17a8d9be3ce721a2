"""`smart-tuner say`: which voice it means, and what the trainer is asked for. The trainer is replaced."""

from functools import partial
from pathlib import Path

import pytest
from commands import Ended, call_command
from finished_study import HUM, FinishedStudy

from smart_tuner.cli import say as command


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def speak(arguments: list[str]) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr(command, "run_in_terminal", speak)
    return calls


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedStudy:
    """Trial 1 is the best; both have a voice."""
    monkeypatch.chdir(tmp_path)
    finished = FinishedStudy(tmp_path)
    for loss in (2.0, 1.5):
        number = finished.complete(loss, spoken=HUM)
        finished.run_dir(number).best_checkpoint.touch()
    return finished


def test_the_best_voice_says_the_texts(
    finished: FinishedStudy, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    cli = partial(call_command, capsys)
    workspace = f"--workspace={finished.workspace}"
    assert cli("say", "Hello.", "-dash", workspace, "-o", "a b.wav", "--play").code == 2  # an unknown option
    ended: Ended = cli("say", workspace, "-o", "a b.wav", "--play", "--", "Hello.", "-dash")
    assert ended.code == 0
    best = finished.run_dir(1).best_checkpoint
    assert asked == [["say", "--out=a b.wav", "--play", "--", str(best), "Hello.", "-dash"]]


def test_a_trial_or_a_checkpoint_can_be_named(
    finished: FinishedStudy, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    cli = partial(call_command, capsys)
    workspace = f"--workspace={finished.workspace}"
    assert cli("say", "Hello.", workspace, "--trial", "0").code == 0
    Path("mine.pt").touch()
    assert cli("say", "Hello.", workspace, "--checkpoint", "mine.pt", "--vocoder", "griffin-lim").code == 0
    assert asked == [
        ["say", "--", str(finished.run_dir(0).best_checkpoint), "Hello."],
        ["say", "--vocoder=griffin-lim", "--", "mine.pt", "Hello."],
    ]
    for arguments, message in (
        (("--trial", "7"), "has no trial 7"),
        (("--trial", "0", "--checkpoint", "mine.pt"), "--voice names a voice by itself"),
    ):
        ended = cli("say", "Hello.", workspace, *arguments)
        assert ended.code == 2
        assert message in ended.err
