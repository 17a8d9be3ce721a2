"""Ctrl-C: the signals by which people ask this process to stop. What then happens to the trials: `pool`."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class StopSignals:
    """Counts them. Once: the trials save and stop. Twice: at once."""

    def __init__(self) -> None:
        self.received: list[str] = []  # their names, in order

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count them while the block runs. Only the main thread may: elsewhere the caller decides what Ctrl-C does."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: the work is to outlive its terminal
            numbers.remove(signal.SIGHUP)
        before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Does nothing else: the code that the signal has interrupted may hold any lock."""
        self.received.append(signal.Signals(number).name)
