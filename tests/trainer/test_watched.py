"""Trainers with a watching process, and two trainers of the same run."""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from trainer_process import TIMEOUT, call_main, configure, kinds_of, start_trainer, wait_for_event

from trainer import __main__ as entry
from trainer import checkpoint_files
from trainer.protocol import EventKind, ExitCode, RunDir, all_events
from trainer.stopping import LEAVE_AT_LATEST


def test_a_tied_run_stops_with_its_watcher_and_a_killed_one_leaves_readable_events(cache: Path, tmp_path: Path) -> None:
    plain = {"tensorboard": False, "pictures": False, "samples": False}
    long = {"frames": 10_000_000, "reports": 1000}
    runs = [configure(tmp_path / name, cache, logging=plain, budget=long) for name in ("tied", "killed")]
    processes = [start_trainer(run, "--tied") for run in runs]
    try:
        for run, process in zip(runs, processes, strict=True):
            wait_for_event(run, process, EventKind.CHECKPOINT, count=2)  # the first is best.pt, the second last.pt
            assert process.poll() is None, "it must not stop while standard input is open"
        watched, killed = processes
        assert watched.stdin is not None
        watched.stdin.close()
        killed.kill()
        assert watched.wait(LEAVE_AT_LATEST / 2) == ExitCode.STOPPED
        assert killed.wait(TIMEOUT) == -signal.SIGKILL
    finally:
        for process in processes:
            process.kill()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            process.wait()
    end = all_events(runs[0].events)[-1]
    assert end.kind is EventKind.STOPPED
    assert "watched" in end.data["reason"]
    assert checkpoint_files.load(runs[0].last_checkpoint)["progress"]["update"] == end.update
    left = kinds_of(runs[1])
    assert left[0] is EventKind.STARTED
    assert not {EventKind.STOPPED, EventKind.FAILED, EventKind.FINISHED} & set(left)
    assert checkpoint_files.load(runs[1].last_checkpoint)["progress"]["update"] > 0


def test_a_second_trainer_of_a_run_is_refused(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = configure(tmp_path, cache, budget={"frames": 10**9, "reports": 3})
    process = start_trainer(run)
    try:
        wait_for_event(run, process, EventKind.PROGRESS)
        assert call_main("--config", str(run.config)) == ExitCode.BAD_INPUT
        assert "another trainer is at work there" in capsys.readouterr().err
    finally:
        process.kill()
        process.communicate()
    assert EventKind.FAILED not in kinds_of(run)


@pytest.fixture
def occupied(tmp_path: Path) -> Iterator[tuple[RunDir, IO[str]]]:
    """A run whose folder is locked as by another trainer, and the lock."""
    run = configure(tmp_path, tmp_path / "cache", corpus={"source": str(tmp_path / "none")})
    with (run.path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield run, lock


def test_a_watched_trainer_waits_for_the_earlier_one(occupied: tuple[RunDir, IO[str]]) -> None:
    run, lock = occupied
    with start_trainer(run, "--tied") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert not run.events.exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert process.wait(TIMEOUT) == ExitCode.BAD_INPUT  # it started, and found no corpus
    assert kinds_of(run) == [EventKind.FAILED]


def test_a_waiting_trainer_can_be_stopped(occupied: tuple[RunDir, IO[str]]) -> None:
    run, _ = occupied
    with start_trainer(run, "--tied") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(entry.LOCK_TIMEOUT / 3) == ExitCode.STOPPED
    assert not run.events.exists()


def test_a_waiting_trainer_that_times_out_writes_no_event(occupied: tuple[RunDir, IO[str]]) -> None:
    run, _ = occupied
    script = (
        "import sys; from trainer import __main__ as entry; entry.LOCK_TIMEOUT = 0.3;"
        f"sys.exit(entry.main(['--config', {str(run.config)!r}, '--tied']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.wait(TIMEOUT) == ExitCode.STOPPED
        assert process.stderr is not None
        assert f"another trainer is at work in {run.path}" in process.stderr.read()
    assert not run.events.exists()
    assert not run.log.exists()
