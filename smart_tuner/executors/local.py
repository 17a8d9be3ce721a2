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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from smart_tuner.executors import ExecutorSettings, Exit, Launch
from smart_tuner.executors.standby import Standbys
from smart_tuner.machine.admission import DeviceAdmission
from smart_tuner.machine.capacity import Capacity, Demand, machine_capacity, memory_kills
from smart_tuner.machine.gpus import gpu_index, gpu_name, wait_for_release
from smart_tuner.machine.process_tree import ProcessTree
from smart_tuner.masking import without_secrets
from trainer.protocol import Event, EventReader, ExitCode, RunDir

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

    standby: have the next trial's trainer import torch while a trial runs.
    """

    runs_may_wait = False  # a trainer starts with its launch

    def __init__(
        self, grace_seconds: float = 20.0, command: tuple[str, ...] | None = None, standby: bool = True
    ) -> None:
        self._grace = grace_seconds
        # -P: a folder called `trainer` in the working directory must not be imported in place of ours.
        self._command = command or (sys.executable, "-P", "-m", "trainer")
        self._standbys = Standbys(self._start_waiting) if standby else None

    def capacity(self, demand: Demand) -> Capacity:
        return machine_capacity(demand)

    def admission(self, capacity: Capacity, preset: str) -> DeviceAdmission:
        return DeviceAdmission(preset, capacity=capacity)

    @contextmanager
    def launch(self, launch: Launch) -> Iterator["LocalRun"]:
        launch.run_dir.path.mkdir(parents=True, exist_ok=True)  # the trainer makes the rest, once it has its lock
        tree = self._standbys.take(launch) if self._standbys else None
        run = LocalRun(tree or self._start(launch), launch, self._grace, lambda: self._prepare_next(launch))
        try:
            yield run
        finally:
            run.close()

    def close(self) -> None:
        if self._standbys:
            self._standbys.close()

    def _prepare_next(self, launch: Launch) -> None:
        if self._standbys:
            self._standbys.prepare(launch)

    def _start(self, launch: Launch) -> ProcessTree:
        with launch.run_dir.log.open("ab") as output:
            return self._start_process(launch, ["--config", str(launch.run_dir.config), "--tied"], output)

    def _start_waiting(self, launch: Launch) -> ProcessTree:
        # Its output while it waits concerns no trial. If it fails, the trainer started in its place reports the same.
        return self._start_process(launch, ["--standby"], subprocess.DEVNULL)

    def _start_process(self, launch: Launch, arguments: list[str], output: IO[bytes] | int) -> ProcessTree:
        return ProcessTree([*self._command, *arguments], _environment(launch), output)


def _environment(launch: Launch) -> dict[str, str]:
    """Ours, without the tuner's settings, which may hold passwords, and with the trial's threads and GPU."""
    threads = str(launch.threads)
    environment = without_secrets(os.environ)
    environment |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    if (index := gpu_index(launch.device)) is not None and ":" in launch.device:
        environment["CUDA_VISIBLE_DEVICES"] = gpu_name(index)
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi counts
    elif launch.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""  # a standby trainer would open a GPU
    return environment


class LocalRun:
    """See `smart_tuner.executors.Run`."""

    def __init__(
        self, tree: ProcessTree, launch: Launch, grace_seconds: float, on_first_event: Callable[[], None]
    ) -> None:
        self._tree = tree
        self._run_dir = launch.run_dir
        self._device = launch.device
        self._grace = grace_seconds
        self._on_first_event = on_first_event
        self._reader = EventReader(launch.run_dir.events, launch.offset)
        self._kill_timer: threading.Timer | None = None
        self._lock = threading.RLock()  # a signal may come while a signal is handled
        self._closed = False
        self._killed_by_us = False
        self._memory_kills = memory_kills()

    @property
    def pid(self) -> int:
        return self._tree.pid

    def events(self) -> Iterator[Event]:
        has_begun = False
        while True:
            gone = self._tree.has_ended()  # checked before reading, so that the last event is not missed
            for event in self._reader.read():
                if not has_begun and not gone:
                    has_begun = True
                    self._on_first_event()
                yield event
            truncate_log(self._run_dir)
            if gone:
                return
            self._tree.wait(POLL_SECONDS)

    def stop(self) -> None:
        with self._lock:
            if self._kill_timer is not None or self._tree.has_ended():
                return
            self._kill_timer = threading.Timer(self._grace, self.kill)
            self._kill_timer.daemon = True
            self._kill_timer.start()
            self._tree.signal(signal.SIGTERM)

    def kill(self) -> None:
        self._killed_by_us = True
        self._tree.kill()

    def close(self) -> None:
        """Kill what is left of the trainer and its children, and wait until none of them holds the device."""
        if self._closed:
            return
        self._closed = True
        self._tree.end()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        if left := wait_for_release(self._device, self._tree.pids, RELEASE_SECONDS):
            log.warning("%s: its memory is still held by killed process %s", self._device, ", ".join(map(str, left)))
            self._tree.kill()

    @property
    def exit(self) -> Exit:
        assert self._tree.has_ended(), "the run is still going on"
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
