"""The commands as a user runs them. Some modules have a `cli` of their own."""

from functools import partial

import pytest
from commands import Cli, call_command
from lab import FAKE_TRAINER, Lab

import smart_tuner.executors.local
from smart_tuner.executors.local import LocalExecutor


@pytest.fixture
def cli(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`smart-tuner ...` in this process, with the fake trainer and without MLflow, in an empty working directory."""
    monkeypatch.chdir(lab.path)
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "false")
    monkeypatch.setenv("SMART_TUNER_DEVICE", "cpu")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(smart_tuner.executors.local, "from_settings", lambda _: LocalExecutor(5.0, FAKE_TRAINER))

    return partial(call_command, capsys)
