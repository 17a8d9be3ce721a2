"""A slot runs one trial at a time: its device, its threads, and the request to stop its run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from optuna.trial import Trial

from smart_tuner.executors import Run
from smart_tuner.outcome import Cause, State, StopRequest


class Slot:
    """`stop`, `kill` and `check` may be called from any thread. report_memory: called with the bytes its run holds.

    is_leaving: as of `Launch`.
    """

    def __init__(
        self,
        index: int,
        threads: int,
        device: str,
        report_memory: Callable[[float], None] = lambda held: None,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self.index = index
        self.threads = threads
        self.device = device
        self.report_memory = report_memory
        self.is_leaving = is_leaving
        self._lock = threading.RLock()  # a signal may come while a signal is handled
        self.clear()

    def clear(self) -> None:
        """Forget the last trial; called before the next one."""
        with self._lock:
            self.stop_request: StopRequest | None = None
            self.trial: Trial | None = None
            self._run: Run | None = None
            self._deadline: float | None = None  # on the monotonic clock
            self._silent_since: float | None = None  # None: no event yet, or one is being handled

    @contextmanager
    def attached(self, run: Run, *, waits: bool) -> Iterator[None]:
        """`stop`, `kill` and `check` act on `run` until the block is left.

        waits: the trainer may have to wait for capacity, and sends no event until it starts.
        """
        with self._lock:
            self._run = run
            self._silent_since = None if waits else time.monotonic()
            request = self.stop_request
        try:
            if request is not None:  # it came before the run
                run.stop()
            yield
        finally:
            with self._lock:
                self._run = None

    def stop(self, request: StopRequest, trial: Trial | None = None) -> None:
        """The first request counts: a pruned trial stays pruned when Ctrl-C comes later. State LOST overrides it.

        trial: do nothing if the slot runs another trial by now.
        """
        with self._lock:
            if trial not in (None, self.trial):
                return
            if self.stop_request is None or request.then is State.LOST:
                self.stop_request = request
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
    def handling_event(self) -> Iterator[None]:
        """The trainer does not count as silent while its event is handled, which may wait for the store."""
        self._silent_since = None
        yield
        self._silent_since = time.monotonic()

    def limit(self, seconds: float) -> None:
        """Stop the trial `seconds` from now."""
        self._deadline = time.monotonic() + seconds

    def check(self, trial_hours: float | None, silent_minutes: float) -> None:
        """Stop a run that takes too long, or is silent for too long."""
        now = time.monotonic()
        with self._lock:  # until it is stopped: the next trial must not be stopped in its place
            if self._run is None:
                return
            if self._deadline is not None and now > self._deadline:
                reason = f"took longer than {trial_hours:g} hours (`limits.trial_hours`)"
                self.stop(StopRequest(State.PRUNED, Cause.TIME, reason))
            elif (since := self._silent_since) is not None and now - since > 60 * silent_minutes:
                reason = f"the trainer was silent for {silent_minutes:g} minutes (`limits.silent_minutes`)"
                self.stop(StopRequest(State.RETRIED, Cause.SILENT, reason))
