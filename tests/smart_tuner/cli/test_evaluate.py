"""`smart-tuner evaluate`: which voice it means, where it writes, and what it shows. The trainer is replaced."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Cli, call_command
from finished_evaluation import NOTE, write_evaluation
from finished_study import HUM, UNALIGNED, FinishedStudy
from rich.console import Console

from smart_tuner.command_hints import LONGER_TRAINING
from smart_tuner.errors import SmartTunerError, UserError
from smart_tuner.figures import DISTANCE, RECOGNISED
from smart_tuner.pages.rendering import words
from smart_tuner.run import evaluation, trainer_command
from trainer.evaluation.verdict import Heard, reservation
from trainer.protocol import ExitCode

MEDIA = {"png": b"a picture", "wav": b"a sound"}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the trainer was started with; it writes an evaluation."""
    calls: list[list[str]] = []

    def run_trainer(arguments: list[str], console: Console, **texts: Any) -> dict[str, Any]:
        calls.append(arguments)
        out = next(value for value in arguments if value.startswith("--out="))
        write_evaluation(Path(out.removeprefix("--out=")), MEDIA, ["one", "two"])
        return {}

    monkeypatch.setattr(evaluation, "run_trainer", run_trainer)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return calls


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return partial(call_command, capsys)


@pytest.fixture
def finished(tmp_path: Path) -> FinishedStudy:
    """Trial 1 is the best; each trial but the pruned one has a voice."""
    finished = FinishedStudy(tmp_path)
    for loss in (2.0, 1.5):
        number = finished.complete(loss, spoken=HUM)
        finished.run_dir(number).best_checkpoint.touch()
    finished.pruned(UNALIGNED)
    return finished


def test_the_best_trial_of_the_study_used_last_is_evaluated_beside_it(
    cli: Cli, finished: FinishedStudy, asked: list[list[str]]
) -> None:
    FinishedStudy(finished.path, {"name": "newer-without-a-voice"})
    ended = cli("evaluate", "--workspace", str(finished.workspace))
    run = finished.run_dir(1)
    assert ended.code == 0
    assert ended.err == "study 'lab' (used last, of 2; --study names another)\ntrial 1 of study 'lab', best\n"
    assert asked == [
        [
            "evaluate",
            f"--out={run.path / 'evaluation'}",
            f"--cache={finished.workspace / 'cache'}",
            "--device=auto",
            "--",
            str(run.best_checkpoint),
        ]
    ]
    lines = ended.out.splitlines()
    longer = "smart-tuner train --study lab"
    where = f"--workspace '{finished.workspace}'"
    assert lines[:2] == [f"a/voice/best.pt: {Heard.PARTS}", reservation(3)]
    assert lines[2:5] == [Heard.PARTS.advice, LONGER_TRAINING, f"  {longer} {where}"]
    assert "It rests on 3 sentences alone, and is uncertain" in lines[1]
    others = "`smart-tuner best` and the report show figures of at most 8 sentences, so these differ."
    page = run.path / "evaluation" / "index.html"
    assert lines[-3:] == [NOTE, others, str(page)]
    assert str(words(longer)) in page.read_text(encoding="utf-8")
    assert lines[1] in page.read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    assert [DISTANCE.words, "9.66 dB", "1.10 dB", "11.90 dB", "12.00 dB"] in rows
    assert [RECOGNISED.words, "40%", "", "", ""] in rows, "what was not measured is left empty"


def test_a_trial_a_file_and_texts_can_be_named(cli: Cli, finished: FinishedStudy, asked: list[list[str]]) -> None:
    where = ("--workspace", str(finished.workspace))
    assert cli("evaluate", "--study", "lab", "--trial", "0", "--texts", "-t.txt", *where).code == 0
    assert asked[-1][1] == f"--out={finished.run_dir(0).path / 'evaluation-of-texts'}"
    assert asked[-1][-3:] == ["--texts=-t.txt", "--", str(finished.run_dir(0).best_checkpoint)]
    Path("-v.pt").touch()
    assert cli("evaluate", "--checkpoint", "-v.pt", "--corpus", "clips", "--device", "cpu").code == 0
    assert asked[-1][1:] == [
        "--out=evaluation",
        "--cache=workspace/cache",
        "--device=cpu",
        "--corpus=clips",
        "--",
        "-v.pt",
    ]
    assert "smart-tuner train" not in cli("evaluate", "--checkpoint", "-v.pt").out, "no study is known"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trial", "2"], "trial 2 of study 'lab' has no voice on this machine"),
        (["--trial", "7"], "has no trial 7; it has 3, counted from 0"),
        (["--checkpoint", "v.pt", "--trial", "1"], "--voice names a voice by itself"),
        (["--texts", "t.txt", "--corpus", "clips"], "--texts and --corpus exclude each other"),
    ],
)
def test_what_cannot_be_evaluated_is_a_mistake_of_the_user(
    cli: Cli, finished: FinishedStudy, asked: list[list[str]], arguments: list[str], message: str
) -> None:
    ended = cli("evaluate", *arguments, "--workspace", str(finished.workspace))
    assert ended.code == 2
    assert message in ended.err
    assert asked == []


@pytest.mark.parametrize(("code", "error"), [(ExitCode.BAD_INPUT, UserError), (ExitCode.NO_SPACE, SmartTunerError)])
def test_the_message_of_the_trainer_is_that_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: ExitCode, error: type[Exception]
) -> None:
    trainer = tmp_path / "trainer"
    lines = [{"done": 0, "total": 2, "what": "x"}, {"evaluated": "here"}]
    said = "\n".join(f"echo '{json.dumps(line)}'" for line in lines)
    trainer.write_text(f"#!/bin/sh\n{said}\necho 'why it failed' >&2\nexit $WITH\n", encoding="utf-8")
    trainer.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(trainer))
    run = partial(trainer_command.run_trainer, ["evaluate"], Console(stderr=True), task="it", interrupted="stopping")
    monkeypatch.setenv("WITH", "0")
    assert run() == {"evaluated": "here"}
    monkeypatch.setenv("WITH", str(int(code)))
    with pytest.raises(error, match="why it failed"):
        run()
