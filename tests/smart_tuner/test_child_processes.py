"""Processes that we start do not have our settings, and so our secrets, in their environment.

Those of `ui` are tested in `ui/test_ui.py`, MLflow's in `mlflow_mirror/test_process.py`, Ray's in `tests/contract`.
"""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from lab import FAKE_TRAINER
from rich.console import Console
from waiting import wait_until

from smart_tuner.cli import voices
from smart_tuner.errors import SmartTunerError
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.run import trainer_command
from tests.contract.test_executors import prepare

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TELEGRAM_TOKEN", "TELEGRAM_CHAT_ID", "SMART_TUNER_NOTIFY_URLS", "SMART_TUNER_STORAGE"):
        monkeypatch.setenv(name, SECRET)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A program that writes its environment to the file `environment` beside it, and fails."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nenv > '{tmp_path}/environment'\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def seen_by(program: Path) -> str:
    seen = (program.parent / "environment").read_text(encoding="utf-8")
    assert "PATH=" in seen
    return seen


def test_neither_a_trainer_nor_the_one_that_waits(tmp_path: Path) -> None:
    executor = LocalExecutor(5.0, FAKE_TRAINER)
    with executor.launch(prepare(tmp_path / "run", hold_at=0)) as run:
        next(run.events())
        wait_until(lambda: len(psutil.Process().children(recursive=True)) > 1)
        trainers = psutil.Process().children(recursive=True)
        assert not [each.cmdline() for each in trainers if SECRET in each.environ().values()]
        run.kill()
        list(run.events())
    executor.close()


def test_not_what_prepares_a_corpus(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_command, "sys", SimpleNamespace(executable=str(environment)))
    with pytest.raises(SmartTunerError, match="preparing failed"):
        trainer_command.run_trainer(["--prepare"], Console(stderr=True), task="preparing", interrupted="")
    assert SECRET not in seen_by(environment)


def test_not_what_speaks(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "sys", SimpleNamespace(executable=str(environment)))
    assert voices.run_in_terminal(["say"]) == 1
    assert SECRET not in seen_by(environment)
