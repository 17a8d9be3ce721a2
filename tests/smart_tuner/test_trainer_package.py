"""Another package called `trainer` is reported in one sentence by every command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import smart_tuner
import trainer


def in_front(folder: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    """Run with `folder` first on Python's path."""
    places = [str(folder), str(Path(str(trainer.__file__)).parent.parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    return subprocess.run(
        [sys.executable, "-P", *argv], capture_output=True, text=True, timeout=60, env=environment, check=False
    )


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder with a package `trainer` that must not be imported."""
    package = tmp_path / "trainer"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('imported')\n", encoding="utf-8")
    return tmp_path


def install(site: Path, name: str, version: str, owned: str) -> None:
    """What pip leaves of a package beside its files."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{owned},,\n", encoding="utf-8")


@pytest.mark.parametrize("command", [["--help"], ["status"], ["optimize", "--trials", "1"], ["validate", "quickstart"]])
def test_a_folder_of_that_name_is_named(other: Path, command: list[str]) -> None:
    ended = in_front(other, "-m", "smart_tuner", *command)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"The import name `trainer` belongs to {other}/trainer here, and hides Smart Tuner's own: "
        f"take {other} off PYTHONPATH.\n"
    )


def test_a_current_folder_of_that_name_is_left(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(other)
    ended = in_front(other, "-m", "smart_tuner", "status")
    assert ended.stderr.endswith("hides Smart Tuner's own: start the command in another folder.\n")


def test_an_installed_package_is_named_with_its_version(other: Path) -> None:
    install(other, "coqui-tts-trainer", "0.3.2", "trainer/__init__.py")
    ended = in_front(other, "-m", "smart_tuner", "status")
    assert ended.returncode == 2
    assert f"belongs to coqui-tts-trainer 0.3.2 ({other}/trainer) here" in ended.stderr
    assert "install Smart Tuner into an environment of its own" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_package_that_was_removed_with_another_one_is_reported(tmp_path: Path) -> None:
    """Another package had overwritten our files; pip removed them with it."""
    shutil.copytree(Path(smart_tuner.__file__).parent, tmp_path / "smart_tuner", ignore=shutil.ignore_patterns("__py*"))
    (tmp_path / "trainer").mkdir()
    code = "from smart_tuner.trainer_package import refuse_other_trainer; refuse_other_trainer()"
    alone = os.environ | {"PYTHONPATH": str(tmp_path)}  # -S: without what is installed here
    argv = [sys.executable, "-P", "-S", "-c", code]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=alone, check=False)
    assert f"Smart Tuner's package `trainer` is missing in {tmp_path}/trainer" in ended.stderr
    assert "install Smart Tuner again by the command that installed it, with `--force-reinstall`" in ended.stderr


def test_importing_from_python_raises_the_same_error(other: Path) -> None:
    ended = in_front(other, "-c", "from smart_tuner import SmartTunerMain")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("smart_tuner.trainer_package.OtherTrainer: The import name")


@pytest.mark.parametrize("argv", [["smart_tuner", "status"], ["trainer", "--config", "config.json"]])
def test_a_system_without_locks_of_files_is_refused_in_one_sentence(argv: list[str]) -> None:
    """As on Windows."""
    hidden = "import runpy, sys; sys.modules.update(fcntl=None, resource=None, termios=None)"
    run = "del sys.argv[0]; runpy.run_module(sys.argv[0], run_name='__main__')"
    argv = [sys.executable, "-P", "-c", f"{hidden}; {run}", *argv]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Smart Tuner runs on Linux and macOS, not on Windows itself: install WSL")
    assert ended.stderr.count("\n") == 1
