"""Keeps MLflow up to date while trials run, from a thread of its own: an outage of MLflow delays it, nothing else."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from smart_tuner.errors import MlflowUnavailable, UserError
from smart_tuner.masking import masked
from smart_tuner.sinks.mlflow import MlflowMirror
from smart_tuner.verdict import Verdict
from trainer.protocol import Event

_log = logging.getLogger(__name__)


class MlflowSink:
    """Syncs the trials it is told of; while MLflow does not answer, it tries again, ever more seldom.

    Ownership: the mirror belongs to the sink's thread from here until `close` has returned True; after
    False the thread may still be in a request (it is a daemon, and ends with the process).
    Thread safety: `notify` and `close` may be called from any thread; neither ever raises, and `notify` never waits.

    pause: seconds between two rounds of syncs, so that a lively study costs one round a second and not a core.
    first_wait, longest_wait: seconds before another attempt after a failure, doubled each time up to the longest.
    """

    def __init__(
        self, mirror: MlflowMirror, *, pause: float = 1.0, first_wait: float = 1.0, longest_wait: float = 120.0
    ) -> None:
        self._mirror = mirror
        self._pause = pause
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._lock = threading.Lock()
        self._pending: set[int] = set()
        self._wake = threading.Event()  # something is pending, or `close` was called
        self._closing = threading.Event()
        self._deadline = 0.0  # of the final sync, on the monotonic clock; read only once _closing is set
        self._up_to_date = False
        self._warned = False
        self._wait = first_wait
        self._thread = threading.Thread(target=self._work, name="mlflow-sink", daemon=True)
        self._thread.start()

    def notify(self, number: int) -> None:
        """Trial `number` has news. Several notices before the next round count as one; after `close` none counts."""
        with self._lock:
            self._pending.add(number)
        self._wake.set()

    def trial_started(self, number: int, params: Mapping[str, Any], *, resumed: bool) -> None:
        self.notify(number)

    def event(self, number: int, event: Event) -> None:
        self.notify(number)

    def trial_ended(self, number: int, verdict: Verdict) -> None:
        self.notify(number)

    def close(self, timeout: float) -> bool:
        """Bring the whole study up to date within `timeout` seconds; True if MLflow now has everything.

        The first call decides; a later one only tells the outcome.
        """
        if not self._closing.is_set():
            self._deadline = time.monotonic() + timeout
            self._closing.set()
            self._wake.set()
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if not self._up_to_date:
            self._warn("it did not finish in time")
        return self._up_to_date

    def _work(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            if not self._closing.is_set():
                self._closing.wait(self._pause if self._sync_pending() else self._next_wait())
        self._wait = self._first_wait
        while not self._attempt(self._mirror.sync_study):
            wait = self._next_wait()
            if time.monotonic() + wait >= self._deadline:
                return
            time.sleep(wait)
        self._up_to_date = True

    def _sync_pending(self) -> bool:
        """One round. A trial that fails is put back and keeps no other one waiting."""
        with self._lock:
            numbers, self._pending = sorted(self._pending), set()
        failed = [number for number in numbers if not self._attempt(partial(self._mirror.sync_trial, number))]
        for number in failed:
            self.notify(number)
        return not failed

    def _attempt(self, sync: Callable[[], None]) -> bool:
        try:
            sync()
        except Exception as error:  # the boundary: whatever MLflow or its store raises must not reach a trial
            self._warn(f"{type(error).__name__}: {error}")
            return False
        self._wait = self._first_wait
        return True

    def _next_wait(self) -> float:
        wait, self._wait = self._wait, min(2 * self._wait, self._longest_wait)
        return wait

    def _warn(self, reason: str) -> None:
        """Once; what follows is for who debugs."""
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        _log.log(
            level,
            "MLflow at %s is behind (%s). The trials are not affected; it is tried again, and `smart-tuner sync` "
            "brings MLflow up to date at any time.",
            masked(self._mirror.tracking_uri),
            masked(" ".join(reason.split()))[:400],
        )


def sync_now(mirror: MlflowMirror) -> None:
    """Bring MLflow up to date. Raises MlflowUnavailable, in one line, where that fails."""
    try:
        mirror.sync_study()
    except UserError:
        raise
    except Exception as error:  # the same boundary, for who asked for it and wants to know
        reason = masked(" ".join(str(error).split()))[:400]
        raise MlflowUnavailable(
            f"MLflow at {masked(mirror.tracking_uri)} could not be brought up to date "
            f"({type(error).__name__}: {reason}). Nothing is lost: the same command does it once MLflow answers."
        ) from error


def known_run_id(mirror: MlflowMirror, number: int) -> str | None:
    """MLflow's run of a trial; None, with a warning, where MLflow does not answer, since SQL knows all the rest."""
    try:
        return mirror.run_id(number)
    except Exception as error:  # the same boundary: a store that fails in whatever way
        _log.warning(
            "MLflow at %s does not answer (%s: %s); the trial is shown without its run.",
            masked(mirror.tracking_uri),
            type(error).__name__,
            masked(" ".join(str(error).split()))[:400],
        )
        return None
