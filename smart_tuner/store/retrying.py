"""A store that may go away for a while: whatever is asked of it is asked again until it answers.

Every operation of Optuna's RDBStorage is a transaction of its own, and is sent anew as a whole. One whose commit
arrived although its answer was lost is sent twice. That changes nothing for attributes, values, parameters, heartbeats,
and the end of a trial; only Optuna's own way of making a trial (`create_new_trial`) would make a second one. This
project files trials by `transitions`, where a repeated step finds its work done.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, stop_any, stop_when_event_set
from tenacity.stop import stop_after_delay
from tenacity.wait import wait_exponential, wait_random

from smart_tuner.errors import StorageError
from smart_tuner.masking import masked, masked_answer
from smart_tuner.store.transient import is_transient, unwrapped

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_SECONDS = 600.0
QUIET_SECONDS = 1.0  # a collision, or a connection that is made anew, is not worth a line
_WAITS = wait_exponential(multiplier=0.1, max=4.5) + wait_random(0, 0.5)
# What Optuna's cache calls on the storage beneath it, besides the public methods.
_CALLED_BY_THE_CACHE = ("_create_new_trial", "_set_trial_param", "_get_trials", "_get_best_trial_id")
_ASKS_NO_STORE = ("remove_session", "check_trial_is_updatable")


class RetryingStorage(RDBStorage):
    """Optuna's storage that waits for its store. Thread-safe.

    retry_seconds: how long one operation is tried; then it raises StorageError. Opening does not wait.
    give_up: once it is set nothing waits any more: what fails, fails with StorageError after one last attempt.
    """

    def __init__(self, url: str, *, retry_seconds: float = RETRY_SECONDS, **options: Any) -> None:
        self.retry_seconds = retry_seconds
        self.give_up = threading.Event()
        self._lock = threading.Lock()
        self._away_since: float | None = None  # told to people; all threads wait for the same store
        self._back_at: float | None = None
        try:
            super().__init__(url.replace("{", "{{").replace("}", "}}"), **options)  # Optuna takes it for a template
        except BaseException:
            if "engine" in vars(self):
                self.engine.dispose()
            raise

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction. It may run several times, and once more after it was committed."""

        def run() -> T:
            with self.engine.begin() as connection:
                return work(connection)

        return self.retry(run)

    def retry(self, work: Callable[[], T]) -> T:
        """Do `work`, again and again while the store is away. Raises at once whatever is no outage."""
        began = datetime.now()
        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            wait=_WAITS,
            stop=stop_any(stop_after_delay(self.retry_seconds), stop_when_event_set(self.give_up)),
            sleep=sleep_using_event(self.give_up),
            before_sleep=self._note_silence,
            reraise=True,
        )
        try:
            result = retrying(work)
        except Exception as error:
            if not is_transient(error):
                raise
            self._away_since = None
            raise StorageError(
                f"storage {masked(self.url)!r}: has not answered since {began:%Y-%m-%d %H:%M:%S} "
                f"({self._words(error)}). What was done is kept: run the same command again once the store answers."
            ) from error
        if retrying.statistics["attempt_number"] > 1:
            self._note_answer()
        return result

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As Optuna's; sent again after it had arrived, it finds the trial finished by itself."""
        attempts = 0

        def send() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                return super(RetryingStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                trial = self.get_trial(trial_id)
                if attempts == 1 or (trial.state, trial.values) != (state, values and list(values)):
                    raise
                return True

        return self.retry(send)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """None for a while after the store was away: whose signs of life could not arrive must give a new one first."""
        stale = self.retry(lambda: super(RetryingStorage, self)._get_stale_trial_ids(study_id))
        grace = self.grace_period or 0
        return [] if self._back_at is not None and time.monotonic() - self._back_at < grace else stale

    def _note_silence(self, call: RetryCallState) -> None:
        now, error = time.monotonic(), call.outcome.exception() if call.outcome else None
        if error is None or (call.seconds_since_start or 0) < QUIET_SECONDS:
            return
        with self._lock:
            just_back = self._back_at is not None and now - self._back_at < QUIET_SECONDS  # another thread was first
            if just_back or self._away_since is not None:
                return
            self._away_since = now
        words = self._words(error)
        log.warning("the store %s does not answer (%s); work goes on and waits for it", masked(self.url), words)

    def _note_answer(self) -> None:
        with self._lock:
            since, self._away_since = self._away_since, None
            if since is None:
                return
            self._back_at = time.monotonic()
        log.warning("the store %s answers again, after %.0f s", masked(self.url), self._back_at - since)

    def _words(self, error: BaseException) -> str:
        cause = unwrapped(error)
        said = cause.orig if isinstance(cause, DBAPIError) else cause  # without the statement and its parameters
        return f"{type(said).__name__}: {masked_answer(' '.join(str(said).split()), self.url)[:400]}"


def _patient(method: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(method)
    def call(self: RetryingStorage, *arguments: Any, **options: Any) -> T:
        return self.retry(lambda: method(self, *arguments, **options))

    return call


def _operations() -> list[str]:
    public = [name for name in vars(BaseStorage) if not name.startswith("_") and name not in _ASKS_NO_STORE]
    return [*public, "record_heartbeat", *_CALLED_BY_THE_CACHE]


for _name in _operations():
    if _name not in vars(RetryingStorage):
        setattr(RetryingStorage, _name, _patient(getattr(RDBStorage, _name)))
