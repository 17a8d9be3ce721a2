"""A full disk or a closed pipe behind the output does not change what a command does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from lab import SUPPORT, UNGUIDED, Lab


@pytest.fixture
def full() -> Iterator[IO[bytes]]:
    with Path("/dev/full").open("wb", buffering=0) as file:
        yield file


@pytest.fixture
def closed_pipe() -> Iterator[IO[bytes]]:
    """A pipe without a reader, as after `head` has its lines."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as file:
        yield file


def run(lab: Lab, command: str, *more: str, out: IO[bytes], err: IO[bytes] | int) -> "subprocess.CompletedProcess[str]":
    where = ["--study", str(lab.study_file), "--workspace", str(lab.workspace)]
    environment = os.environ | {"SMART_TUNER_MLFLOW": "false", "SMART_TUNER_DEVICE": "cpu"}
    return subprocess.run(
        [sys.executable, str(SUPPORT / "command_process.py"), command, *where, *more],
        stdout=out,
        stderr=err,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )


@pytest.mark.slow
def test_neither_a_study_nor_its_exit_code_depends_on_the_output(
    lab: Lab, full: IO[bytes], closed_pipe: IO[bytes]
) -> None:
    assert run(lab, "optimize", "--trials", "2", out=full, err=closed_pipe).returncode == 0
    assert lab.states() == ["COMPLETE", "PRUNED"]
    lab.define(enqueue=[UNGUIDED])
    assert run(lab, "optimize", "--trials", "1", "--name", "mute", out=closed_pipe, err=full).returncode == 3


@pytest.mark.slow
def test_a_command_that_only_shows_something_exits_without_error_if_nobody_reads(
    lab: Lab, full: IO[bytes], closed_pipe: IO[bytes]
) -> None:
    lab.tuner().submit(1)
    shown = run(lab, "status", out=full, err=subprocess.PIPE)
    assert (shown.returncode, shown.stderr) == (0, "The output could not be written: No space left on device.\n")
    for arguments in (["status"], ["status", "--watch"], ["status", "--help"]):
        shown = run(lab, *arguments, out=closed_pipe, err=subprocess.PIPE)
        assert (shown.returncode, shown.stderr) == (0, "")
