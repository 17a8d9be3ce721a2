"""Why a run should stop early: a signal, or the end of the process that watches it.

Standard library only. A signal, or the end of standard input, makes the run save and exit (`StopRequest`). On Linux the
kernel also kills the trainer when its watcher dies (`die_with_watcher`), even a trainer that is suspended or hangs.
"""

import ctypes
import os
import queue
import select
import signal
import sys
import threading
from types import FrameType

from trainer.protocol import ExitCode

LEAVE_AT_LATEST = 30.0  # seconds after the end of the watching process: exit even without a checkpoint
_PR_SET_PDEATHSIG = 1


class Stopped(Exception):
    """A stop was requested before training began. What is prepared of the corpus is kept."""


def die_with_watcher() -> None:
    """Let the kernel kill this process when the one that started it ends; exit at once where it has ended already.

    The kernel watches the thread that started this process (prctl(2), PR_SET_PDEATHSIG): that thread must live as long
    as this process is wanted. Child processes of this one are not killed. Does nothing on systems other than Linux.
    """
    if sys.platform != "linux":
        return
    ask_for_signal(signal.SIGKILL)
    if _is_stdin_closed():
        os._exit(ExitCode.STOPPED)


def ask_for_signal(number: signal.Signals) -> None:
    """Let the kernel send this process a signal when the thread that started it ends. Does nothing but on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _is_stdin_closed() -> bool:
    """Whether standard input is an empty pipe whose other end is closed.

    The parent's process id would not do: in a container the watcher may be process 1, which also adopts orphans.
    """
    poll = select.poll()
    poll.register(0, select.POLLIN)
    return any(found & select.POLLHUP and not found & select.POLLIN for _, found in poll.poll(0))


class StopRequest:
    """Why the run should stop; `reason` is None until a signal comes, or standard input ends.

    needs_first_line: exit where standard input ends before its first line is complete.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.needs_first_line = False
        self._first_line: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen(self) -> None:
        """First SIGTERM or Ctrl-C: stop after this update, resumable. Second Ctrl-C: at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.reason = f"received {signal.Signals(number).name}"
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raises Stopped where there is a reason: for work that has nothing to save."""
        if self.reason is not None:
            raise Stopped(self.reason)

    def tie_to_stdin(self) -> None:
        """Stop when standard input ends: the watching process alone holds its other end."""
        threading.Thread(target=self._wait_for_end_of_stdin, name="watch-stdin", daemon=True).start()

    def first_line(self, timeout: float | None = None) -> bytes | None:
        """Wait for the first line of standard input, after `tie_to_stdin`; None after `timeout` seconds.

        The line is returned once.
        """
        try:
            return self._first_line.get(timeout=timeout)
        except queue.Empty:
            return None

    def _wait_for_end_of_stdin(self) -> None:
        received = b""
        while chunk := os.read(0, 4096):
            had_line = b"\n" in received
            received += chunk
            if not had_line and b"\n" in received:
                self._first_line.put(received.partition(b"\n")[0])
        if self.needs_first_line and b"\n" not in received:
            os._exit(ExitCode.STOPPED)
        self.reason = "the process that watched this trial is gone"
        threading.Timer(LEAVE_AT_LATEST, os._exit, [ExitCode.STOPPED]).start()
