"""A slot runs one trial at a time: its device, its threads, and the request to stop that its run got."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from optuna.trial import Trial

from smart_tuner.executors import Run
from smart_tuner.verdict import Cause, State, StopAsked


class Slot:
    """`stop`, `kill` and `check` may be called from any thread. report_memory: takes the bytes that its run holds."""

    def __init__(
        self, index: int, threads: int, device: str, report_memory: Callable[[float], None] = lambda held: None
    ) -> None:
        self.index, self.threads, self.device, self.report_memory = index, threads, device, report_memory
        self._lock = threading.RLock()  # a signal may come while a signal is handled
        self.clear()

    def clear(self) -> None:
        """Before the next trial."""
        with self._lock:
            self.asked: StopAsked | None = None
            self.trial: Trial | None = None
            self._run: Run | None = None
            self._deadline: float | None = None  # on the monotonic clock
            self._silent_since: float | None = None  # None: it has not begun, or is being heard

    def attached(self, run: Run, *, waits: bool) -> "Slot":
        """waits: its trainer may have to wait for capacity, and says nothing until it has begun."""
        with self._lock:
            self._run, self._silent_since = run, None if waits else time.monotonic()
            asked = self.asked
        if asked is not None:  # asked between two trials
            run.stop()
        return self

    def __enter__(self) -> "Slot":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._run = None

    def stop(self, asked: StopAsked, trial: Trial | None = None) -> None:
        """The first request counts: a pruned trial stays pruned when Ctrl-C comes later. A lost trial overrides it.

        trial: that one alone is meant, not one that came after it.
        """
        with self._lock:
            if trial not in (None, self.trial):
                return
            if self.asked is None or asked.then is State.LOST:
                self.asked = asked
            run = self._run
        if run is not None:
            run.stop()

    def kill(self, trial: Trial | None = None) -> None:
        """trial: as for `stop`."""
        with self._lock:
            run = self._run if trial in (None, self.trial) else None
        if run is not None:
            run.kill()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """The trainer does not count as silent while its event is handled, which may wait for the store."""
        self._silent_since = None
        yield
        self._silent_since = time.monotonic()

    def limit(self, seconds: float) -> None:
        """The trial may take so long from now on."""
        self._deadline = time.monotonic() + seconds

    def check(self, trial_hours: float | None, silent_minutes: float) -> None:
        """Stop a run that has taken or been silent for too long."""
        now = time.monotonic()
        with self._lock:  # until it is stopped: the next trial must not answer for this one
            if self._run is None:
                return
            if self._deadline is not None and now > self._deadline:
                reason = f"took longer than {trial_hours:g} hours (`limits.trial_hours`)"
                self.stop(StopAsked(State.PRUNED, Cause.TIME, reason))
            elif (since := self._silent_since) is not None and now - since > 60 * silent_minutes:
                reason = f"the trainer said nothing for {silent_minutes:g} minutes (`limits.silent_minutes`)"
                self.stop(StopAsked(State.RETRIED, Cause.SILENT, reason))
