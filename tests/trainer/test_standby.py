"""A trainer that stands by is told what to train in one line, and refuses what it cannot use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from trainer_process import PATIENCE

from trainer.protocol import ExitCode, RunDir


@pytest.mark.parametrize("order", ["\n", "nonsense\n", '{"konfig": 3}\n', "3\n", "[" * 100_000 + "\n"])
def test_an_order_that_is_none_is_refused(tmp_path: Path, order: str) -> None:
    command = [sys.executable, "-m", "trainer", "--standby"]
    done = subprocess.run(command, input=order, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.startswith('Standard input must say {"config": "FILE"} in one line, but got ')
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["none/config.json", "file/config.json", "zero\0byte/config.json", "x" * 300 + "/c"])
def test_an_order_to_train_where_no_folder_is_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "trainer", "--standby"]
    order = json.dumps({"config": f"{tmp_path}/{name}"}) + "\n"
    done = subprocess.run(command, input=order, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "trainer.log: cannot be written (" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, "[" * 100_000, "[]"])
def test_an_order_whose_configuration_cannot_be_used_is_told_in_its_log(tmp_path: Path, content: str | None) -> None:
    run = RunDir(tmp_path)
    if content is None:
        run.config.mkdir()
    else:
        run.config.write_text(content)
    command = [sys.executable, "-m", "trainer", "--standby"]
    order = json.dumps({"config": str(run.config)}) + "\n"
    done = subprocess.run(command, input=order, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == ExitCode.BAD_INPUT
    assert run.log.read_text().startswith(str(run.config))
    assert "Traceback" not in run.log.read_text()
