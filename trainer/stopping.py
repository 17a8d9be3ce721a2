"""Why a run should end before its end: signals, the end of the process that watches, and never outliving that.

Standard library only. A watcher that closes standard input, or dies where the system cannot tell a child of it, is
answered by saving and leaving (`StopRequest`). On Linux a dead watcher takes the trainer with it (`die_with_watcher`),
even one that is stopped or stuck.
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

LEAVE_AT_LATEST = 30.0  # seconds between losing the watching process and leaving without a checkpoint
_PR_SET_PDEATHSIG = 1


class Stopped(Exception):
    """Asked to stop before training began. Parts of a corpus that are prepared are kept."""


def die_with_watcher() -> None:
    """Let the kernel kill this process when the one that started it is gone; leave at once where it is gone already.

    For the kernel "the one" is the thread that started it (prctl(2), PR_SET_PDEATHSIG): it must live as long as its
    process wants this one to. What this process starts is not bound. Does nothing where the system is not Linux.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if _nobody_holds_stdin():
        os._exit(ExitCode.STOPPED)


def _nobody_holds_stdin() -> bool:
    """A pipe that is empty and whose other end is closed. (The parent's number says nothing: in a container 1 may be
    the watcher's, and be that of who inherits orphans.)"""
    look = select.poll()
    look.register(0, select.POLLIN)
    return any(found & select.POLLHUP and not found & select.POLLIN for _, found in look.poll(0))


class StopRequest:
    """Why the run should end, once somebody asked: a signal, or the end of the process that watches."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.waits_for_order = False
        self._orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen(self) -> None:
        """First SIGTERM or Ctrl-C: stop after this update, resumable. Second Ctrl-C: at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.reason = f"received {signal.Signals(number).name}"
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def obey(self) -> None:
        """Raises Stopped once somebody asked: for work that has nothing to save."""
        if self.reason is not None:
            raise Stopped(self.reason)

    def tie_to_stdin(self) -> None:
        """Stop when standard input ends: its other end is held by the process that watches, and by nobody else."""
        threading.Thread(target=self._wait_for_end_of_stdin, name="watch-stdin", daemon=True).start()

    def wait_for_order(self, seconds: float | None = None) -> bytes | None:
        """The first line of standard input, once it is tied; None when none came in time. Can be had once.

        The process leaves where standard input ends without one.
        """
        try:
            return self._orders.get(timeout=seconds)
        except queue.Empty:
            return None

    def _wait_for_end_of_stdin(self) -> None:
        said = b""
        while part := os.read(0, 4096):
            ordered = b"\n" in said
            said += part
            if not ordered and b"\n" in said:
                self._orders.put(said.partition(b"\n")[0])
        if self.waits_for_order and b"\n" not in said:
            os._exit(ExitCode.STOPPED)
        self.reason = "the process that watched this trial is gone"
        threading.Timer(LEAVE_AT_LATEST, os._exit, [ExitCode.STOPPED]).start()
