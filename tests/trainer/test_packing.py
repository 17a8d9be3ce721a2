"""The benchmark of several trials at once ends what it starts: trainers, and NVIDIA's Multi-Process Service."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks import packing
from trainer.protocol import RunDir

# Stands in for the driver's program: writes down its arguments, its folder and what it is told.
DAEMON = """#!/bin/sh
echo "$* $CUDA_MPS_PIPE_DIRECTORY" >> {log}
[ "$1" = -d ] || cat >> {log}
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / packing.MPS
    program.parent.mkdir()
    program.write_text(DAEMON.format(log=tmp_path / "log"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "log"


def test_the_service_runs_for_the_trainers_alone(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mps"
    with suppress(ZeroDivisionError), packing.multi_process_service(folder) as environment:
        assert log.read_text() == f"-d {folder}\n"
        assert environment["CUDA_MPS_PIPE_DIRECTORY"] == str(folder)
        raise ZeroDivisionError
    assert log.read_text() == f"-d {folder}\n {folder}\nquit\n"
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ


def test_without_the_drivers_program_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="comes with NVIDIA's driver"), packing.multi_process_service(tmp_path / "mps"):
        pass


def test_a_stopped_trainer_is_asked_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, it would leave the service in an error."""
    program = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(7)); print(flush=True); signal.pause()"
    popen = subprocess.Popen

    def start(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        return popen([sys.executable, "-c", program], stdout=subprocess.PIPE)

    monkeypatch.setattr(subprocess, "Popen", start)
    with packing.trainer(RunDir(tmp_path / "trial-0"), {}, 1, os.environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
    assert process.returncode == 7
