"""`smart-tuner doctor` as a user runs it: output, exit codes, nothing left behind; a trainer's process that fails."""

import io
import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import Cli, call_command
from rich.console import Console

import trainer
from smart_tuner.doctor import examination, incomplete
from smart_tuner.doctor.trainer_checks import trainer_findings
from smart_tuner.run import trainer_command
from smart_tuner.terminal import screen
from trainer.findings import Finding, State
from trainer.installing import reinstall_command


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """In an empty folder, without the trainer's process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(examination, "trainer_findings", lambda gpus, console: [Finding("torch", State.OK, "works.")])
    monkeypatch.setattr(examination, "check_import_names", lambda: Finding("import names", State.OK, "ours."))
    return partial(call_command, capsys)


def test_a_real_machine_is_checked_and_nothing_is_left_behind(tmp_path: Path) -> None:
    folders = {"here", "home", "temporary"}
    for name in folders:
        (tmp_path / name).mkdir()
    environment = os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "smart_tuner", "doctor", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path / "here",
        env=environment,
        check=False,
    )
    told = json.loads(done.stdout)
    states = {check["check"]: check["state"] for check in told["checks"]}
    assert done.returncode == int("error" in states.values()), done.stderr
    assert told["state"] == ("error" if done.returncode else told["state"])
    expected = {"system", "Python", "packages", "import names", "settings", "cores", "memory", "ports", "workspace"}
    expected |= {"disk", "store", "MLflow", "notifications", "torch", "cpu", "audio", "espeak-ng", "phonemes"}
    assert expected | {"vocoder", "listener"} <= states.keys()
    assert {states[name] for name in ("Python", "packages", "workspace", "store", "torch", "cpu", "audio")} == {"ok"}
    assert [str(path) for name in folders for path in (tmp_path / name).rglob("*")] == []


def test_without_an_error_the_exit_code_is_0(cli: Cli, tmp_path: Path) -> None:
    ended = cli("doctor", "--workspace", "w")
    assert (ended.code, ended.err) == (0, "")
    assert "w does not exist yet, and can be made." in ended.out
    assert list(tmp_path.iterdir()) == []


def test_an_error_has_its_cure_below_it_and_exit_code_1(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("no database, but a text that is long enough\n" * 9)
    ended = cli("doctor", "--storage", f"sqlite:///{tmp_path}/file.db")
    assert ended.code == 1
    assert "error" in next(line for line in ended.out.splitlines() if "is not a SQLite database" in line)
    assert ended.out.splitlines()[-1].startswith("1 error")
    told = json.loads(cli("doctor", "--json", "--storage", f"sqlite:///{tmp_path}/file.db").out)
    (store,) = [check for check in told["checks"] if check["check"] == "store"]
    assert (told["state"], store["state"]) == ("error", "error")


def test_wrong_settings_are_a_finding_and_the_other_checks_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_TUNER_JOB", "2")
    told = json.loads(cli("doctor", "--json").out)
    states = {check["check"]: check["state"] for check in told["checks"]}
    assert states["settings"] == "error"
    assert states["torch"] == "ok"
    assert "store" not in states


def test_a_check_that_cannot_import_a_package_is_a_finding(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(settings: object) -> Finding:
        raise ImportError("libpq.so.5: cannot open shared object file", name="sqlalchemy.orm")

    monkeypatch.setattr(examination, "check_store", broken)
    monkeypatch.setattr(incomplete, "packages_distributions", lambda: {"sqlalchemy": ["SQLAlchemy"]})
    ended = cli("doctor")
    assert (ended.code, "libpq.so.5" in ended.out) == (1, True)
    assert reinstall_command("SQLAlchemy").partition(" -m ")[2] in ended.out


def test_a_file_that_cannot_be_read_is_a_finding(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(workspace: object) -> Finding:
        raise OSError(5, "Input/output error", "/mnt/workspace")

    monkeypatch.setattr(examination, "check_disks", broken)
    ended = cli("doctor")
    assert (ended.code, "Input/output error" in ended.out, "its disk or device answers" in ended.out) == (1, True, True)


def test_a_slow_check_says_in_a_log_what_it_does(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_SILENT_SECONDS", 0.05)
    real_line = screen.print_line
    said = threading.Event()

    def print_line(console: Console, text: str) -> None:
        real_line(console, text)
        said.set()

    def slow(settings: object) -> Finding:
        said.clear()
        assert said.wait(30)
        return Finding("store", State.OK, "opens.")

    monkeypatch.setattr(screen, "print_line", print_line)
    monkeypatch.setattr(examination, "check_store", slow)
    ended = cli("doctor")
    assert "checking: store" in ended.err
    assert "checking: store" not in ended.out


def test_another_trainer_in_the_way_is_the_one_finding(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "__init__.py").write_text("raise AssertionError('imported')\n", encoding="utf-8")
    places = [str(tmp_path), str(Path(str(trainer.__file__)).parent.parent)]
    call = partial(
        subprocess.run,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        check=False,
    )
    command = [sys.executable, "-P", "-m", "smart_tuner", "doctor"]
    shown = call(command)
    assert (shown.returncode, shown.stderr) == (1, "")
    assert f"belongs to {tmp_path}/trainer here" in shown.stdout
    assert f"take {tmp_path} off PYTHONPATH" in shown.stdout
    told = json.loads(call([*command, "--json"]).stdout)
    (finding,) = told["checks"]
    assert told["state"] == "error"
    assert Finding(**finding).check == "import names"


def fake_trainer(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(trainer_command, "sys", SimpleNamespace(executable=str(program)))


def found_of(*checks: str) -> str:
    found = [{"check": check, "state": "ok", "found": "works.", "mend": ""} for check in checks]
    return f"echo '{json.dumps({'findings': found})}'"


def test_a_trainer_that_crashes_is_an_error_after_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_trainer(tmp_path, monkeypatch, f"{found_of('torch')}; {found_of('torch', 'cpu')}; kill -SEGV $$")
    *found, failed = trainer_findings(1, Console(file=io.StringIO()))
    assert [finding.check for finding in found] == ["torch", "cpu"]
    assert failed.state is State.ERROR
    assert "after cpu" in failed.found
    assert "exit code -11" in failed.found


def test_a_trainer_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_trainer(tmp_path, monkeypatch, f"{found_of('torch')}; exec sleep 600")
    torch, failed = trainer_findings(1, Console(file=io.StringIO()), seconds=1.0)
    assert (torch.state, failed.state) == (State.OK, State.ERROR)
    assert "exit code -9" in failed.found
