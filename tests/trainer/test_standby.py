"""A standby trainer reads from standard input what to train, and refuses what it cannot use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from trainer_process import TIMEOUT

from trainer.protocol import ExitCode, RunDir


@pytest.mark.parametrize("line", ["\n", "nonsense\n", '{"konfig": 3}\n', "3\n", "[" * 100_000 + "\n"])
def test_an_invalid_line_is_refused(tmp_path: Path, line: str) -> None:
    command = [sys.executable, "-m", "trainer", "--standby"]
    done = subprocess.run(command, input=line, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.startswith('Standard input must say {"config": "FILE"} in one line, but got ')
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["none/config.json", "file/config.json", "zero\0byte/config.json", "x" * 300 + "/c"])
def test_a_configuration_without_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "trainer", "--standby"]
    line = json.dumps({"config": f"{tmp_path}/{name}"}) + "\n"
    done = subprocess.run(command, input=line, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "trainer.log: cannot be written (" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, "[" * 100_000, "[]"])
def test_an_unusable_configuration_is_reported_in_its_log(tmp_path: Path, content: str | None) -> None:
    run = RunDir(tmp_path)
    if content is None:
        run.config.mkdir()
    else:
        run.config.write_text(content)
    command = [sys.executable, "-m", "trainer", "--standby"]
    line = json.dumps({"config": str(run.config)}) + "\n"
    done = subprocess.run(command, input=line, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert run.log.read_text().startswith(str(run.config))
    assert "Traceback" not in run.log.read_text()
