"""Processes that we start have no secret in their environment but those that they need.

MLflow's is started in `mlflow_mirror/test_process.py`, Ray's in `tests/contract`.
"""

import os
import webbrowser
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from lab import FAKE_TRAINER
from rich.console import Console
from waiting import wait_until

from smart_tuner.child_environment import Child, environment_for, hidden_secrets
from smart_tuner.cli import voices
from smart_tuner.config import load_settings
from smart_tuner.errors import SmartTunerError
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.machine import gpus
from smart_tuner.run import trainer_command
from smart_tuner.ui import Page, supervisor
from tests.contract.test_executors import prepare

SECRET = "hunter2"
OF_THE_DATABASE = {"PGPASSWORD", "MYSQL_PWD"}
OF_MLFLOW = {
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "DATABRICKS_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_APPLICATION_CREDENTIALS",
}
OURS = {"TELEGRAM_TOKEN", "TELEGRAM_CHAT_ID", "SMART_TUNER_NOTIFY_URLS", "SMART_TUNER_STORAGE", "smart_tuner_jobs"}
OF_OTHERS = {"HF_TOKEN", "OPENAI_API_KEY", "api_key", "SMTP_PASS", "github_pwd", "VAULT_CREDENTIALS", "SSH_PASSPHRASE"}
SECRETS = OF_THE_DATABASE | OF_MLFLOW | OURS | OF_OTHERS | {"RAY_AUTH_TOKEN"}
WITH_A_PASSWORD = f"http://me:{SECRET}@host:3128"
NO_SECRETS = {
    "Path": "/bin",
    "PWD": "/home/me@work",
    "USERNAME": "me",
    "PGHOST": "db",
    "MLFLOW_S3_ENDPOINT_URL": "https://files",
    "TOKENIZERS_PARALLELISM": "false",
    "KEYTIMEOUT": "1",
    "my_smart_tuner_": "6",
    "http_proxy": "http://host:3128",
}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS - {"smart_tuner_jobs"}:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("https_proxy", WITH_A_PASSWORD)
    monkeypatch.setenv("DATABASE_URL", WITH_A_PASSWORD)


@pytest.mark.parametrize(
    ("child", "needed"),
    [
        (Child.TRAINER, set()),
        (Child.MLFLOW, OF_THE_DATABASE | OF_MLFLOW | {"HTTPS_PROXY"}),
        (Child.DASHBOARD, OF_THE_DATABASE),
        (Child.TENSORBOARD, set()),
        (Child.RAY, {"RAY_AUTH_TOKEN"}),
        (Child.BROWSER, {"HTTPS_PROXY"}),
        (Child.NVIDIA_SMI, set()),
    ],
)
def test_of_all_secrets_a_process_has_those_that_it_needs(child: Child, needed: set[str]) -> None:
    urls = {"HTTPS_PROXY": WITH_A_PASSWORD, "DATABASE_URL": WITH_A_PASSWORD, "PIP_INDEX_URL": f"https://{SECRET}@host"}
    given = dict.fromkeys(SECRETS, SECRET) | urls | NO_SECRETS
    kept = environment_for(child, given)
    assert kept.keys() == needed | NO_SECRETS.keys()
    assert kept.items() <= given.items()


def test_they_are_hidden_from_a_library_that_starts_processes_and_come_back() -> None:
    before = dict(os.environ)
    with hidden_secrets(Child.RAY):
        assert SECRET not in {value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
        assert "PATH" in os.environ
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("page", "urls"),
    [
        (Page.OPTUNA, ["postgresql://me:studies@host/s"]),
        (Page.MLFLOW, ["postgresql://me:mlflow@host/m"]),
        (Page.TENSORBOARD, []),
    ],
)
def test_the_server_of_a_page_has_the_url_of_its_own_store_alone(page: Page, urls: list[str]) -> None:
    settings = load_settings(storage="postgresql://me:studies@host/s", tracking_uri="postgresql://me:mlflow@host/m")
    given = supervisor._environment(settings, page)
    assert [value for value in given.values() if value.startswith("postgresql://")] == urls
    assert ("PGPASSWORD" in given) == bool(urls)
    assert ("MLFLOW_TRACKING_TOKEN" in given) == (page is Page.MLFLOW)


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
        assert not [each.cmdline() for each in trainers if SECRET in " ".join(each.environ().values())]
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


def test_not_the_program_that_tells_of_gpus(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.rename(environment.with_name("nvidia-smi"))
    monkeypatch.setenv("PATH", f"{environment.parent}:{os.environ['PATH']}")
    gpus._nvidia_smi("--list-gpus")
    assert SECRET not in seen_by(environment)


def test_not_the_browser(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda address: os.system(environment))
    monkeypatch.delenv("https_proxy")  # which it may need
    settings = load_settings(workspace=tmp_path / "workspace", tracking_uri="http://host:5000", storage="sqlite:///s")
    supervisor.show_pages(settings, {Page.MLFLOW: 5000}, "127.0.0.1", Console(), browser=True)
    assert SECRET not in seen_by(environment)
