"""Trials as processes of this machine.

Each is a session of its own, so that it can be ended with all its children, and holds one end of a pipe
whose other end is ours: when this process dies, however it dies, the pipe closes and the trainer saves and leaves.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from smart_tuner.executors import Launch, Outcome
from smart_tuner.executors.standby import Standbys
from smart_tuner.machine import gpu_name
from trainer.protocol import Event, RunDir, read_events

POLL_SECONDS = 0.05
TAIL_LINES = 15
TAIL_BYTES = 16_384


class LocalExecutor:
    """grace_seconds: from asking to stop until the group is killed. command: stands in for the trainer in tests.

    standby: let the next trial's trainer import torch while a trial is at work.
    """

    def __init__(
        self, grace_seconds: float = 20.0, command: tuple[str, ...] | None = None, standby: bool = True
    ) -> None:
        self._grace = grace_seconds
        # -P: a folder called `trainer` in the working directory must not stand in for ours.
        self._command = command or (sys.executable, "-P", "-m", "trainer")
        self._standbys = Standbys(self._start_waiting) if standby else None

    @contextmanager
    def launch(self, launch: Launch) -> Iterator["LocalRun"]:
        launch.run_dir.create()
        process = self._standbys.take(launch) if self._standbys else None
        run = LocalRun(process or self._start(launch), launch.run_dir, self._grace, lambda: self._at_work(launch))
        try:
            yield run
        finally:
            run.close()

    def close(self) -> None:
        if self._standbys:
            self._standbys.close()

    def _at_work(self, launch: Launch) -> None:
        if self._standbys:
            self._standbys.prepare(launch)

    def _start(self, launch: Launch) -> subprocess.Popen[bytes]:
        with launch.run_dir.log.open("ab") as log:
            return self._popen(launch, ["--config", str(launch.run_dir.config), "--tied"], log)

    def _start_waiting(self, launch: Launch) -> subprocess.Popen[bytes]:
        # What it says while it waits concerns no trial; if it breaks, a trainer started in its place says it again.
        return self._popen(launch, ["--standby"], subprocess.DEVNULL)

    def _popen(self, launch: Launch, arguments: list[str], output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._command, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=_environment(launch),
        )


def _environment(launch: Launch) -> dict[str, str]:
    """Ours, without the tuner's own settings, which may hold passwords; with the trial's threads and its GPU alone."""
    threads = str(launch.threads)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMART_TUNER_")}
    environment |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    kind, _, index = launch.device.partition(":")
    if kind == "cuda" and index:
        environment["CUDA_VISIBLE_DEVICES"] = gpu_name(int(index))
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi counts
    elif kind == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""  # one that stands by would open a GPU
    return environment


class LocalRun:
    """See `smart_tuner.executors.Run`."""

    def __init__(
        self, process: subprocess.Popen[bytes], run_dir: RunDir, grace_seconds: float, at_work: Callable[[], None]
    ) -> None:
        """at_work: called when the trainer has said something new, so that it has begun."""
        self._process, self._run_dir, self._grace, self._at_work = process, run_dir, grace_seconds, at_work
        self._kill_timer: threading.Timer | None = None
        self._lock = threading.RLock()  # a signal may come while a signal is handled

    @property
    def pid(self) -> int:
        return self._process.pid

    def events(self) -> Iterator[Event]:
        offset, begun = 0, False
        before = self._run_dir.events.stat().st_size if self._run_dir.events.exists() else 0
        while True:
            gone = self._process.poll() is not None  # asked before reading, so that the last words are not missed
            events, offset = read_events(self._run_dir.events, offset)
            if not begun and not gone and offset > before:
                begun = True
                self._at_work()
            yield from events
            if gone:
                return
            if not events:
                self._wait()

    def _wait(self) -> None:
        """For more to read, or for the end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(POLL_SECONDS)

    def stop(self) -> None:
        with self._lock:
            if self._kill_timer is not None or self._process.poll() is not None:
                return
            self._kill_timer = threading.Timer(self._grace, self.kill)
            self._kill_timer.daemon = True
            self._kill_timer.start()
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill what is left of the process group, and reap."""
        self.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._kill_timer is not None:
            self._kill_timer.cancel()

    @property
    def outcome(self) -> Outcome:
        code = self._process.poll()
        assert code is not None, "the run is still going on"
        return Outcome(code, log_tail(self._run_dir))

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group, whose number is the trainer's; children may outlive it, so it may be gone itself."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def log_tail(run_dir: RunDir) -> str:
    """The last lines of `trainer.log`, however long it is."""
    try:
        with run_dir.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-TAIL_LINES:])
