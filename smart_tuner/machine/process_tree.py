"""A trainer and all its descendants, which are ended together.

A trainer leads a session and a process group, and one signal reaches the group. A child that left the group is found by
a mark in its environment, which every descendant inherits, even if its parents are gone. A child that has wiped its
environment is found as a descendant of the trainer, while that is alive.

The number of a process, and of its group, is not reused before the process is reaped. `Popen.poll` reaps, so it is not
used to check whether a trainer has ended. The trainer is reaped after its group was killed, and no number is signalled
after that.
"""

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO
from uuid import uuid4

import psutil

log = logging.getLogger(__name__)

# A trainer dies with the thread that started it (see `trainer.stopping`): this one lives as long as the process.
_starter = ThreadPoolExecutor(1, "start-trainers")

MARK = "TRAINER_FAMILY"  # environment variable: the tree to which a process belongs
GONE_SECONDS = 10.0  # in which killed processes are gone; the kernel may keep one that waits for a disk
LEAVE_SECONDS = 5.0  # the same, for a tuner that is to exit
_LOOK_SECONDS = 0.5  # between two checks whether the tuner is to exit
_PAUSE = 0.005
_STAYS = "trainer %d was killed and is still there, since a disk or a device does not answer; %s"
_WAITED_FOR = "its slot waits"
_LEFT = "it is left alone, and its trial waits until it is gone: mend the disk or the device, or restart the machine"


class ProcessTree:
    """Thread-safe; `kill` may also be called by a signal handler."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: IO[bytes] | int,
        *,
        answers: bool = False,
    ) -> None:
        """Starts `command` with a pipe as its standard input. Raises OSError where it cannot be started.

        answers: `answer` reads its standard output; only its standard error goes to `output`.
        """
        self._mark = uuid4().hex
        self._gone = False
        self._killed: float | None = None  # when first, on the monotonic clock
        self._logged: set[str] = set()  # what of a trainer that outlives its kill
        self._unread = b""  # of its standard output
        self._lock = threading.RLock()  # a signal may come while a signal is handled
        self._process = _starter.submit(
            subprocess.Popen,
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if answers else output,
            stderr=output,
            start_new_session=True,
            env={**environment, MARK: self._mark},
        ).result()
        self._pidfd = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None
        self._stdout = self._process.stdout  # None where it does not answer, or has closed it
        if self._stdout is not None:
            os.set_blocking(self._stdout.fileno(), False)
        self.pids = {self._process.pid}  # of all processes of the tree that were seen

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """As in subprocess; None before `end`."""
        return self._process.returncode

    def send(self, line: bytes) -> None:
        """Write a line to its standard input. Raises OSError where nothing reads it any longer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")

    def answer(self) -> bytes | None:
        """The next whole line of its standard output; None where it has not come yet. Does not wait."""
        with self._lock:
            while b"\n" not in self._unread:
                if self._stdout is None or (chunk := self._stdout.read(4096)) is None:
                    return None
                if not chunk:
                    self._close_stdout()
                self._unread += chunk
            line, _, self._unread = self._unread.partition(b"\n")
            return line

    def _close_pipes(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        with self._lock:
            self._close_stdout()

    def _close_stdout(self) -> None:
        if self._stdout is not None:
            self._stdout.close()
            self._stdout = None

    def has_ended(self) -> bool:
        """Whether the trainer itself has ended; its children may still run."""
        with self._lock:
            return self._process.returncode is not None or self._waits_to_be_reaped()

    def wait(self, seconds: float, *, or_answer: bool = False) -> bool:
        """Wait for the trainer's end, at most `seconds`; returns whether it has ended. or_answer: or for output."""
        if self._pidfd is not None and not self._gone:
            selector = select.poll()  # wakes at once, and costs nothing until then
            selector.register(self._pidfd, select.POLLIN)
            with self._lock:  # others may close it
                if or_answer and self._stdout is not None:
                    selector.register(self._stdout, select.POLLIN)
            selector.poll(1000 * seconds)
            return self.has_ended()
        deadline = time.monotonic() + seconds
        while not (ended := self.has_ended()) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        return ended

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the group, unless the trainer was reaped."""
        with self._lock:
            if self._process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Kill the group, and the processes that left it."""
        members = self._members()  # found before, since init adopts the children of a killed process
        self.signal(signal.SIGKILL)
        _kill(members)
        if self._killed is None:
            self._killed = time.monotonic()

    def end(self, is_leaving: Callable[[], bool] = lambda: False) -> None:
        """Kill all processes, wait until they are gone, reap the trainer. A second call does nothing.

        is_leaving: as of `is_left`. Nothing is reaped of a trainer that is left.
        """
        if self._gone:
            return
        if not self.has_ended():
            self.kill()
        # However long it takes: as long as it is there, it may hold its device and write to its folder.
        while not self.wait(_LOOK_SECONDS):
            if self.is_left(is_leaving):
                self._close_pipes()
                return
        self._reap()
        self.end_children()
        self._close_pipes()
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._gone = True

    def is_left(self, is_leaving: Callable[[], bool]) -> bool:
        """Whether nobody waits for it any longer: it was killed, is still there, and the tuner is to exit.

        is_leaving: whether it is. Logs a trainer that outlives its kill.
        """
        if self._killed is None or self.has_ended():
            return False
        seconds = time.monotonic() - self._killed
        if is_leaving() and seconds >= LEAVE_SECONDS:
            self._log_once(_LEFT)
            return True
        if seconds >= GONE_SECONDS:
            self._log_once(_WAITED_FOR)
        return False

    def _log_once(self, what_then: str) -> None:
        if what_then not in self._logged:
            self._logged.add(what_then)
            log.warning(_STAYS, self.pid, what_then)

    def _waits_to_be_reaped(self) -> bool:
        try:
            if not hasattr(os, "waitid"):  # macOS before Python 3.13
                return psutil.Process(self._process.pid).status() == psutil.STATUS_ZOMBIE
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except (ChildProcessError, psutil.NoSuchProcess):  # reaped by other code: the number may be reused by now
            return self._process.poll() is not None

    def _reap(self) -> None:
        with self._lock:
            self.signal(signal.SIGKILL)
            self._process.wait()

    def end_children(self) -> None:
        """Kill all processes but the trainer itself, and wait until they are gone."""
        deadline = time.monotonic() + GONE_SECONDS
        while (left := self._members()) and time.monotonic() < deadline:
            _kill(left)
            psutil.wait_procs(left, timeout=0.1)
        if left:
            numbers = ", ".join(str(process.pid) for process in left)
            log.warning("process %s of trainer %d was killed and is still there", numbers, self.pid)

    def _members(self) -> set[psutil.Process]:
        """The live processes of the tree, without the trainer itself."""
        found = {process for process in map(_process, psutil.pids()) if process and mark_of(process) == self._mark}
        if not self.has_ended():
            with suppress(psutil.Error):
                found |= {child for child in psutil.Process(self.pid).children(recursive=True) if not _is_zombie(child)}
        members = {process for process in found if process.pid != self.pid}
        self.pids |= {process.pid for process in members}
        return members


def is_trainer(pid: int) -> bool:
    """Whether a process is, or descends from, a trainer that some tuner of this user started."""
    process = _process(pid)
    return process is not None and mark_of(process) is not None


def mark_of(process: psutil.Process) -> str | None:
    """None for a process that is gone, has no mark, or belongs to another user."""
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _kill(processes: set[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):  # psutil recognises a reused number by the start time
            process.kill()
