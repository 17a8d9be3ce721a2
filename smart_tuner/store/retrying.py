"""Optuna's storage, which retries every operation while the store is away.

Every operation of Optuna's RDBStorage is a transaction of its own, and is retried as a whole. If the commit arrived but
its answer was lost, the operation is sent twice. That changes nothing for attributes, values, parameters, heartbeats
and the end of a trial. Only Optuna's own `create_new_trial` would make a second trial; this project makes trials by
`statements`, where a repeated step finds its work done.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import Any, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, stop_any, stop_when_event_set
from tenacity.stop import stop_after_delay
from tenacity.wait import wait_exponential, wait_random

from smart_tuner.errors import StorageError
from smart_tuner.masking import masked, masked_answer
from smart_tuner.store.optuna_internals import (
    CALLED_BY_CACHE,
    READ_TRIALS_METHOD,
    STALE_TRIALS_METHOD,
    stale_trial_ids,
)
from smart_tuner.store.resting import RestingTrials
from smart_tuner.store.transient import is_transient, unwrapped

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_SECONDS = 600.0
QUIET_SECONDS = 1.0  # a collision or a new connection, which take less, need no line in the log
_WAITS = wait_exponential(multiplier=0.1, max=4.5) + wait_random(0, 0.5)
_NEEDS_NO_STORE = ("remove_session", "check_trial_is_updatable")


class RetryingStorage(RDBStorage):
    """Optuna's storage, with retries. Thread-safe. Can be pickled; the copy has its own connections and `give_up`.

    retry_seconds: how long one operation is retried before it raises StorageError. Opening is not retried.
    give_up: once it is set, nothing is retried; an operation that fails raises StorageError.
    """

    _OF_THIS_PROCESS = frozenset({"give_up", "_lock", "_away_since", "_back_at", "_resting"})

    def __init__(self, url: str, *, retry_seconds: float = RETRY_SECONDS, **options: Any) -> None:
        self.retry_seconds = retry_seconds
        self._reset()
        try:
            super().__init__(url.replace("{", "{{").replace("}", "}}"), **options)  # Optuna takes it for a template
        except BaseException:
            if "engine" in vars(self):
                self.engine.dispose()
            raise

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {key: value for key, value in state.items() if key not in self._OF_THIS_PROCESS}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        self._reset()
        super().__setstate__(state)

    def _reset(self) -> None:
        self.give_up = threading.Event()
        self._lock = threading.Lock()
        self._away_since: float | None = None  # when the first thread got no answer
        self._back_at: float | None = None  # when the store answered again
        self._resting = RestingTrials()

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction. It is retried, perhaps once more after it was committed."""

        def run() -> T:
            with self.engine.begin() as connection:
                return work(connection)

        return self.retry(run)

    def retry(self, work: Callable[[], T]) -> T:
        """Do `work`, again while the store is away. Raises at once any error that is not transient."""
        began = datetime.now()
        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            wait=_WAITS,
            stop=stop_any(stop_after_delay(self.retry_seconds), stop_when_event_set(self.give_up)),
            sleep=sleep_using_event(self.give_up),
            before_sleep=self._note_outage,
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
                f"({self._message(error)}). What was done is kept: run the same command again once the store answers."
            ) from error
        if retrying.statistics["attempt_number"] > 1:
            self._note_answer()
        return result

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As Optuna's. If it is sent again after its commit arrived, the trial is finished already: no error."""
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

    def stale_trial_ids(self, study_id: int) -> list[int]:
        """The RUNNING trials without a heartbeat in the grace period. None in the grace period after an outage.

        During the outage no heartbeat could arrive, so each worker gets the time to send one.
        """
        stale = self.retry(lambda: stale_trial_ids(self, study_id))
        grace = self.grace_period or 0
        return [] if self._back_at is not None and time.monotonic() - self._back_at < grace else stale

    def trials_for_cache(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """The trials that are in the set of ids, or have a higher id than the other one, by id; see `resting`."""
        found = self.retry(lambda: self._resting.read(self, study_id, included_trial_ids, trial_id_greater_than))
        return [trial for trial in found if states is None or trial.state in states]

    def _note_outage(self, call: RetryCallState) -> None:
        now = time.monotonic()
        error = call.outcome.exception() if call.outcome else None
        if error is None or (call.seconds_since_start or 0) < QUIET_SECONDS:
            return
        with self._lock:
            just_back = self._back_at is not None and now - self._back_at < QUIET_SECONDS  # for another thread
            if just_back or self._away_since is not None:
                return
            self._away_since = now
        message = self._message(error)
        log.warning("the store %s does not answer (%s); it is retried, trials go on", masked(self.url), message)

    def _note_answer(self) -> None:
        with self._lock:
            since, self._away_since = self._away_since, None
            if since is None:
                return
            self._back_at = time.monotonic()
        log.warning("the store %s answers again, after %.0f s", masked(self.url), self._back_at - since)

    def _message(self, error: BaseException) -> str:
        cause = unwrapped(error)
        shown = cause.orig if isinstance(cause, DBAPIError) else cause  # without the statement and its parameters
        return f"{type(shown).__name__}: {masked_answer(' '.join(str(shown).split()), self.url)[:400]}"


def _retried(method: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(method)
    def call(self: RetryingStorage, *arguments: Any, **options: Any) -> T:
        return self.retry(lambda: method(self, *arguments, **options))

    return call


def _operations() -> list[str]:
    public = [name for name in vars(BaseStorage) if not name.startswith("_") and name not in _NEEDS_NO_STORE]
    return [*public, "record_heartbeat", *CALLED_BY_CACHE]


setattr(RetryingStorage, STALE_TRIALS_METHOD, RetryingStorage.stale_trial_ids)
setattr(RetryingStorage, READ_TRIALS_METHOD, RetryingStorage.trials_for_cache)
for _name in _operations():
    if _name not in vars(RetryingStorage):
        setattr(RetryingStorage, _name, _retried(getattr(RDBStorage, _name)))
