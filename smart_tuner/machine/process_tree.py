"""A trainer and all that descends from it, ended together.

A trainer leads a session and a process group of its own, and one signal reaches the group. A child that left the group
is found by a mark in its environment, which every descendant inherits, even one whose parents are gone; one that
wiped its environment, as a descendant of a trainer that is alive.

The number of a process, and of the group that it leads, is its own until somebody reaps it. So nobody asks here by
`Popen.poll`, which reaps, whether a trainer has ended; it is reaped when its group was killed, and no number is
signalled after that.
"""

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO
from uuid import uuid4

import psutil

log = logging.getLogger(__name__)

# A trainer dies with the thread that started it (see `trainer.stopping`): this one lives as long as the process.
_starter = ThreadPoolExecutor(1, "start-trainers")

MARK = "TRAINER_FAMILY"  # environment variable: which tree a process belongs to
GONE_SECONDS = 10.0  # for those that were killed to be gone; the kernel may keep one that waits for a disk
_PAUSE = 0.005


class ProcessTree:
    """May be used from any thread; `kill` from a signal handler, too."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | int) -> None:
        """Starts `command` with a pipe as its standard input. Raises OSError where that cannot be."""
        self._mark = uuid4().hex
        self._gone = False
        self._lock = threading.RLock()  # a signal may come while a signal is handled
        self._process = _starter.submit(
            subprocess.Popen,
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**environment, MARK: self._mark},
        ).result()
        self._pidfd = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None
        self.pids = {self._process.pid}  # of all members that were seen

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """As of subprocess; None before `end`."""
        return self._process.returncode

    def tell(self, line: bytes) -> None:
        """To its standard input. Raises OSError where nobody reads that any more."""
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def has_ended(self) -> bool:
        """Whether the trainer has, its children or not."""
        with self._lock:
            return self._process.returncode is not None or self._waits_to_be_reaped()

    def wait(self, seconds: float) -> bool:
        """For the trainer's end, so long; whether it has ended."""
        if self._pidfd is not None and not self._gone:
            selector = select.poll()  # wakes at once, and costs nothing until then
            selector.register(self._pidfd, select.POLLIN)
            selector.poll(1000 * seconds)
            return self.has_ended()
        deadline = time.monotonic() + seconds
        while not (ended := self.has_ended()) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        return ended

    def signal(self, number: signal.Signals) -> None:
        """To the group; to nobody once the trainer was reaped."""
        with self._lock:
            if self._process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """The group, and those that left it."""
        members = self._members()  # before: one that is killed leaves its children to init
        self.signal(signal.SIGKILL)
        _kill(members)

    def end(self) -> None:
        """Kill all, wait until they are gone, reap. Does nothing the second time."""
        if self._gone:
            return
        if not self.has_ended():
            self.kill()
        while not self.wait(1.0):
            pass
        self._reap()
        self._end_members()
        if self._process.stdin is not None:
            with suppress(OSError):  # what it was not told any more
                self._process.stdin.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._gone = True

    def _waits_to_be_reaped(self) -> bool:
        try:
            if not hasattr(os, "waitid"):  # macOS before Python 3.13
                return psutil.Process(self._process.pid).status() == psutil.STATUS_ZOMBIE
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except (
            ChildProcessError,
            psutil.NoSuchProcess,
        ):  # reaped by somebody else in this process: its number may be another's by now
            return self._process.poll() is not None

    def _reap(self) -> None:
        with self._lock:
            self.signal(signal.SIGKILL)
            self._process.wait()

    def _end_members(self) -> None:
        deadline = time.monotonic() + GONE_SECONDS
        while (left := self._members()) and time.monotonic() < deadline:
            _kill(left)
            psutil.wait_procs(left, timeout=0.1)
        if left:
            numbers = ", ".join(str(process.pid) for process in left)
            log.warning("process %s of trainer %d was killed and is still there", numbers, self.pid)

    def _members(self) -> set[psutil.Process]:
        """Those alive, other than the trainer itself."""
        found = {process for process in map(_process, psutil.pids()) if process and mark_of(process) == self._mark}
        if not self.has_ended():
            with suppress(psutil.Error):
                found |= set(psutil.Process(self.pid).children(recursive=True))
        members = {process for process in found if process.pid != self.pid}
        self.pids |= {process.pid for process in members}
        return members


def is_trainer(pid: int) -> bool:
    """Whether a process is, or descends from, a trainer that some tuner of this user started."""
    process = _process(pid)
    return process is not None and mark_of(process) is not None


def mark_of(process: psutil.Process) -> str | None:
    """None for one that is gone, has none, or belongs to somebody else."""
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _kill(processes: set[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):  # psutil knows a number that was given anew by its start
            process.kill()
