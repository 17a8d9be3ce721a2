"""Why a run should stop early: a signal, or the process that watches it asks for it, or is gone.

Standard library only. A signal, a line of standard input, or its end makes the run save and stop (`StopRequest`). On
Linux the kernel also kills the trainer when its watcher dies (`die_with_watcher`), even one that is suspended or hangs.
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

STOP_LINE = b'{"stop": true}'  # on standard input, of a trainer that trains in turn
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
    """Why the run should stop; `reason` is None until a signal comes, standard input ends, or a line there asks for it.

    A process that trains in turn is told by lines which run comes next, and when it is to stop (`STOP_LINE`). A line
    that asks to stop the run before is over with the next run's line, so that it cannot stop that one.
    """

    def __init__(self) -> None:
        self._signal: str | None = None
        self._asked: str | None = None
        self._end: str | None = None  # of standard input
        self._waits = False
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    @property
    def reason(self) -> str | None:
        return self._signal or self._asked or self._end

    @property
    def is_final(self) -> bool:
        """Whether this process is to end, and not the present run alone."""
        return self._signal is not None or self._end is not None

    def listen(self) -> None:
        """First SIGTERM or Ctrl-C: stop after this update, resumable. Second Ctrl-C: at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def stop_listening(self) -> None:
        """From now on a signal ends the process, as before `listen`."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = f"received {signal.Signals(number).name}"
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raises Stopped where there is a reason: for work that has nothing to save."""
        if self.reason is not None:
            raise Stopped(self.reason)

    def tie_to_stdin(self) -> None:
        """Stop when standard input ends: the watching process alone holds its other end."""
        threading.Thread(target=self._read_stdin, name="watch-stdin", daemon=True).start()

    def expect_line(self) -> None:
        """From now on the end of standard input ends this process at once, until `next_line` has a line."""
        self._waits = True

    def next_line(self, timeout: float | None = None) -> bytes | None:
        """Wait for a line of standard input, after `tie_to_stdin`; None after `timeout` seconds.

        Each line is returned once, without those that ask to stop.
        """
        try:
            return self._lines.get(timeout=timeout)
        except queue.Empty:
            return None

    def _read_stdin(self) -> None:
        received = b""
        while chunk := os.read(0, 4096):
            *lines, received = (received + chunk).split(b"\n")
            for line in lines:
                self._take(line)
        if self._waits:
            os._exit(ExitCode.STOPPED)
        self._end = "the process that watched this trial is gone"
        threading.Timer(LEAVE_AT_LATEST, os._exit, [ExitCode.STOPPED]).start()

    def _take(self, line: bytes) -> None:
        if line == STOP_LINE:
            self._asked = "asked by the process that watches this trial"
            return
        self._asked = None
        self._waits = False
        self._lines.put(line)
