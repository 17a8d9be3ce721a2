"""Trials as processes of this machine.

Each trainer leads a session, so that it can be killed with all its children, and holds one end of a pipe whose other
end is ours. When this process dies, even by SIGKILL, the trainer dies with it: on Linux at once, by a signal of the
kernel; elsewhere it saves its state and ends, since the pipe is closed.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from smart_tuner.child_environment import Child, environment_for
from smart_tuner.executors import ExecutorSettings, Exit, Launch
from smart_tuner.executors.standby import Standbys
from smart_tuner.machine.admission import DeviceAdmission
from smart_tuner.machine.capacity import Capacity, Demand, machine_capacity, memory_kills
from smart_tuner.machine.gpus import gpu_index, gpu_name, wait_for_release
from smart_tuner.machine.process_tree import ProcessTree
from trainer.protocol import Event, EventReader, ExitCode, RunDir
from trainer.standby import start_line
from trainer.stopping import STOP_LINE

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
TAIL_LINES = 15
TAIL_BYTES = 16_384
RELEASE_SECONDS = 30.0  # in which the driver frees the GPU memory of a process that is gone
LOG_LIMIT = 64 * 2**20  # bytes of trainer.log; of a larger one, only the end is kept
LOG_KEPT = 2**20


def from_settings(settings: ExecutorSettings) -> "LocalExecutor":
    return LocalExecutor(settings.stop_grace_seconds)


class LocalExecutor:
    """grace_seconds: from the request to stop until the group is killed. command: replaces the trainer in tests.

    standby: trainers train one trial after another, and one more is started while a trial runs (`Standbys`).
    """

    runs_may_wait = False  # a trainer starts with its launch

    def __init__(
        self, grace_seconds: float = 20.0, command: tuple[str, ...] | None = None, standby: bool = True
    ) -> None:
        self._grace = grace_seconds
        # -P: a folder called `trainer` in the working directory must not be imported in place of ours.
        self._command = command or (sys.executable, "-P", "-m", "trainer")
        self._standbys = Standbys(self._start_waiting, _kind) if standby else None

    def capacity(self, demand: Demand) -> Capacity:
        return machine_capacity(demand)

    def admission(self, capacity: Capacity, preset: str) -> DeviceAdmission:
        return DeviceAdmission(preset, capacity=capacity)

    @contextmanager
    def launch(self, launch: Launch) -> Iterator["LocalRun"]:
        launch.run_dir.path.mkdir(parents=True, exist_ok=True)  # the trainer makes the rest, once it has its lock
        tree = self._standbys.take(launch) if self._standbys else None
        run = LocalRun(tree or self._start(launch), launch, self._grace, self._standbys)
        try:
            yield run
        finally:
            run.close()

    def close(self) -> None:
        if self._standbys:
            self._standbys.close()

    def _start(self, launch: Launch) -> ProcessTree:
        with launch.run_dir.log.open("ab") as output:
            if self._standbys is None:
                command = [*self._command, "--config", str(launch.run_dir.config), "--tied"]
                return ProcessTree(command, _environment(launch), output)
            tree = self._start_waiting(launch, output)
            with suppress(OSError):  # it has ended, which its run reports
                tree.send(start_line(launch.run_dir.config))
            return tree

    def _start_waiting(self, launch: Launch, output: IO[bytes] | int = subprocess.DEVNULL) -> ProcessTree:
        # Its output while it waits concerns no trial. If it fails, the trainer started in its place reports the same.
        command = [*self._command, "--standby", "--like", str(launch.run_dir.config)]
        return ProcessTree(command, _environment(launch), output, answers=True)


def _kind(launch: Launch) -> Hashable:
    """Launches that one process can run in turn are of the same kind."""
    return launch.device, frozenset(_environment(launch).items())


def _environment(launch: Launch) -> dict[str, str]:
    """Ours, without secrets, and with the trial's threads and GPU."""
    threads = str(launch.threads)
    environment = environment_for(Child.TRAINER)
    environment |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    if (index := gpu_index(launch.device)) is not None and ":" in launch.device:
        environment["CUDA_VISIBLE_DEVICES"] = gpu_name(index)
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi counts
    elif launch.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""  # a standby trainer would open a GPU
    return environment


class LocalRun:
    """See `smart_tuner.executors.Run`."""

    def __init__(self, tree: ProcessTree, launch: Launch, grace_seconds: float, standbys: Standbys | None) -> None:
        """standbys: where the trainer waits after this trial, which it then reports by an answer. None: it ends."""
        self._tree = tree
        self._launch = launch
        self._run_dir = launch.run_dir
        self._grace = grace_seconds
        self._standbys = standbys
        self._answer: int | None = None  # the exit code of a trial whose trainer waits for the next one
        self._reader = EventReader(launch.run_dir.events, launch.offset)
        self._kill_timer: threading.Timer | None = None
        self._lock = threading.RLock()  # a signal may come while a signal is handled
        self._closed = False
        self._was_left = False  # for good: people may ask the tuner to go on meanwhile
        self._killed_by_us = False
        self._memory_kills = memory_kills()

    @property
    def pid(self) -> int:
        return self._tree.pid

    def events(self) -> Iterator[Event]:
        has_begun = False
        while True:
            gone = self._has_ended()  # checked before reading, so that the last event is not missed
            for event in self._reader.read():
                if not has_begun and not gone:
                    has_begun = True
                    self._prepare_next()
                yield event
            truncate_log(self._run_dir)
            if gone or self._is_left():
                return
            self._tree.wait(POLL_SECONDS, or_answer=True)

    def _prepare_next(self) -> None:
        if self._standbys is not None:
            self._standbys.prepare(self._launch)

    def _has_ended(self) -> bool:
        """Whether the trial has: its trainer waits for another one, or has ended."""
        with self._lock:
            gone = self._tree.has_ended()  # checked before the answer, which may be the last that it did
            if self._answer is None and (answer := self._tree.answer()) is not None:
                self._answer = int(answer)
            return gone or self._answer is not None

    def _is_left(self) -> bool:
        """Whether the trainer cannot be killed, and the tuner does not wait for it any longer."""
        self._was_left = self._was_left or self._tree.is_left(self._launch.is_leaving)
        return self._was_left

    def stop(self) -> None:
        with self._lock:
            if self._closed or self._kill_timer is not None or self._has_ended():
                return
            self._kill_timer = threading.Timer(self._grace, self.kill)
            self._kill_timer.daemon = True
            self._kill_timer.start()
            if self._standbys is None:
                self._tree.signal(signal.SIGTERM)
            else:
                with suppress(OSError):  # it has just ended
                    self._tree.send(STOP_LINE)

    def kill(self) -> None:
        with self._lock:
            if not self._closed:  # its trainer may run another trial by now
                self._killed_by_us = True
                self._tree.kill()

    def close(self) -> None:
        """Wait until no process of the trial holds the device: its trainer waits for another one, or all are killed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._kill_timer is not None:
                self._kill_timer.cancel()
            is_kept = self._answer is not None and not self._killed_by_us and not self._tree.has_ended()
        if is_kept and self._standbys is not None:
            self._tree.end_children()
            self._standbys.give_back(self._launch, self._tree)
        else:
            self._end_trainer()

    def _end_trainer(self) -> None:
        """Kill what is left of the trainer and its children, and wait until none of them holds the device."""
        self._tree.end(self._launch.is_leaving)
        if self._is_left():
            return
        device = self._launch.device
        if left := wait_for_release(device, self._tree.pids, RELEASE_SECONDS):
            log.warning("%s: its memory is still held by killed process %s", device, ", ".join(map(str, left)))
            self._tree.kill()

    @property
    def exit(self) -> Exit:
        if self._answer is not None:
            return Exit(self._answer, log_tail(self._run_dir.log))
        if self._is_left():
            return Exit(-signal.SIGKILL, log_tail(self._run_dir.log), left=self.pid)
        assert self._has_ended(), "the run is still going on"
        self._tree.end()
        assert self._tree.exit_code is not None
        code = ExitCode.OUT_OF_MEMORY if self._was_killed_for_memory() else self._tree.exit_code
        return Exit(code, log_tail(self._run_dir.log))

    def _was_killed_for_memory(self) -> bool:
        """Whether the kernel killed it for memory. A trainer reports a lack of memory itself, unless it is killed."""
        killed = self._tree.exit_code == -signal.SIGKILL and not self._killed_by_us
        return killed and memory_kills() > self._memory_kills


def log_tail(log: Path) -> str:
    """The last lines of a log of any length."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def truncate_log(run_dir: RunDir) -> None:
    """Keep only the end of a `trainer.log` that is larger than LOG_LIMIT, so that it does not fill the disk.

    It is cut in place, since the trainer appends to it. Lines between our reading and our writing may be lost.
    """
    try:
        if (size := run_dir.log.stat().st_size) <= LOG_LIMIT:
            return
    except FileNotFoundError:
        return
    with run_dir.log.open("rb") as file:
        file.seek(size - LOG_KEPT)
        end = file.read(LOG_KEPT)
    os.truncate(run_dir.log, 0)
    with run_dir.log.open("ab") as file:
        file.write(b"[the log had %d bytes; all but its end was cut]\n" % size + end.partition(b"\n")[2])
