"""A trainer never outlives the process that watches it, whatever state it is in."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from waiting import wait_until, wait_until_gone

from trainer.protocol import ExitCode, RunDir

FAKE = str(Path(__file__).parents[1] / "support" / "fake_trainer.py")
COMMANDS = {"real": [sys.executable, "-m", "trainer"], "fake": [sys.executable, FAKE]}
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")

# Starts the command in its arguments, prints its process id, and watches it until it is killed.
WATCHER = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def _watched(*command: str) -> tuple["subprocess.Popen[str]", psutil.Process]:
    watcher = subprocess.Popen([sys.executable, "-c", WATCHER, *command], stdout=subprocess.PIPE, text=True)
    assert watcher.stdout is not None
    return watcher, psutil.Process(int(watcher.stdout.readline()))


def _configure(folder: Path, **settings: object) -> RunDir:
    run = RunDir(folder)
    run.config.write_text(json.dumps({"fake": settings}))
    return run


@linux
def test_a_suspended_trainer_dies_with_its_killed_watcher() -> None:
    watcher, trainer = _watched(*COMMANDS["real"], "--standby")
    with watcher:
        wait_until(lambda: trainer.num_threads() > 1, "it reads standard input")
        trainer.suspend()
        wait_until(lambda: trainer.status() == psutil.STATUS_STOPPED)
        watcher.kill()
        wait_until_gone([trainer])


@linux
@pytest.mark.parametrize("stopped", [False, True])
def test_a_fake_that_ignores_signals_or_is_suspended_dies_with_its_killed_watcher(
    tmp_path: Path, stopped: bool
) -> None:
    run = _configure(tmp_path, act=["deaf"], hold_at=1)
    watcher, trainer = _watched(*COMMANDS["fake"], "--tied", "--config", str(run.config))
    with watcher:
        wait_until(run.last_checkpoint.exists)
        if stopped:
            trainer.suspend()
        watcher.kill()
        wait_until_gone([trainer])


@linux
@pytest.mark.parametrize("which", COMMANDS)
@pytest.mark.parametrize("how", ["--tied", "--standby"])
def test_a_trainer_whose_watcher_is_gone_already_exits_at_once(tmp_path: Path, which: str, how: str) -> None:
    run = _configure(tmp_path)
    run.config.write_text("{")  # invalid, but never read
    reading, writing = os.pipe()
    os.close(writing)
    command = [*COMMANDS[which], how, *(["--config", str(run.config)] if how == "--tied" else [])]
    done = subprocess.run(command, stdin=reading, capture_output=True, text=True, timeout=30, check=False)
    os.close(reading)
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.STOPPED, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_the_end_of_standard_input_is_a_stop_request(tmp_path: Path) -> None:
    run = _configure(tmp_path, hold_at=1)
    command = [*COMMANDS["fake"], "--tied", "--config", str(run.config)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as trainer:
        wait_until(run.last_checkpoint.exists)
        assert trainer.stdin is not None
        trainer.stdin.close()
        assert trainer.wait(30) == ExitCode.STOPPED
    assert '"the process that watched this trial is gone"' in run.events.read_text().splitlines()[-1]


def test_a_signal_stops_a_tied_fake(tmp_path: Path) -> None:
    run = _configure(tmp_path, hold_at=1)
    command = [*COMMANDS["fake"], "--tied", "--config", str(run.config)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as trainer:
        wait_until(run.last_checkpoint.exists)
        trainer.send_signal(signal.SIGTERM)
        assert trainer.wait(30) == ExitCode.STOPPED
