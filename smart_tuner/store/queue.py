"""The queue of a study: workers take its trials, give them back, finish them, and recover those of dead workers.

A worker takes the first WAITING trial, in one atomic step to RUNNING, or else makes the next one in one transaction
that counts and inserts. An interrupted trial goes back to WAITING under its own number. So the number of finished
trials is exact with any number of workers, and taking a trial costs the same however many trials there are.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, TypeVar
from uuid import uuid4
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import Connection

from smart_tuner.machine.process_identity import ProcessIdentity
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.optuna_internals import FIXED_PARAMS_KEY, refresh_trials, trial_id
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.statements import (
    Attempt,
    Texts,
    begin_trial,
    count_finished,
    finish_trial,
    is_current,
    report_trial,
    return_trial,
    running_attempts,
    take_waiting,
)
from smart_tuner.store.storage import GRACE_SECONDS

_T = TypeVar("_T")
_open_queues: set[str] = set()  # the names of this process's queues whose trials may be at work


class Queue:
    """The trials of one study, numbered 0 to target - 1. The first take the settings of `enqueue`.

    Thread-safe, as the store is. target: may be changed while workers are at work; trials beyond it stay as they are.
    """

    def __init__(self, study: optuna.Study, storage: RetryingStorage, target: int) -> None:
        self.study = study
        self.storage = storage
        self.target = target
        self._enqueue: list[dict[str, Any]] = study.user_attrs[StudyAttr.DEFINITION]["enqueue"]
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._attempts: WeakKeyDictionary[Trial, Attempt] = WeakKeyDictionary()  # each attempt has a `Trial` of its own
        self._without_owner: dict[Attempt, float] = {}  # when we first saw them so, by `time.monotonic`
        self._name = uuid4().hex  # distinguishes our trials from those of other queues of this process

    def take(self) -> Trial | None:
        """The next trial, now RUNNING and ours: a WAITING one, else a new one. None where the study has all trials."""
        _open_queues.add(self._name)
        attempt = self._in_store(take_waiting) or self._in_store(begin_trial)
        if attempt is None:
            return None
        refresh_trials(self.study)
        if attempt.number < len(self._enqueue) and not self.storage.get_trial(attempt.trial_id).params:
            self.storage.set_trial_system_attr(attempt.trial_id, FIXED_PARAMS_KEY, self._enqueue[attempt.number])
        trial = Trial(self.study, attempt.trial_id)
        self._attempts[trial] = attempt
        self.storage.record_heartbeat(attempt.trial_id)
        trial.set_user_attr(Attr.OWNER, self._owner(attempt))
        return trial

    def stored(self, trial: Trial) -> FrozenTrial:
        """The trial with all that the store has of it."""
        return self.storage.get_trial(trial_id(trial))

    def close(self) -> None:
        """Declare that no trial of this queue runs any longer: those that could not be given back can be recovered."""
        _open_queues.discard(self._name)

    def give_back(self, trial: Trial) -> None:
        """Return an interrupted trial to WAITING, so that any worker may continue it. Nothing where it is not ours."""
        attempt = self._attempts[trial]
        self.storage.transaction(lambda connection: return_trial(connection, attempt))

    def beat(self, trial: Trial) -> bool:
        """Send a heartbeat; False where the trial is no longer ours."""
        if not self.is_ours(trial):
            return False
        self.storage.record_heartbeat(trial_id(trial))
        return True

    def is_ours(self, trial: Trial) -> bool:
        """False once another worker has taken the trial over, because we sent no heartbeat for too long."""
        attempt = self._attempts[trial]
        return self.storage.transaction(lambda connection: is_current(connection, attempt))

    def report(self, trial: Trial, index: int, value: float | None, attributes: Mapping[str, Any]) -> bool:
        """Write a trial's report; False, and nothing is written, where it is no longer ours."""
        attempt = self._attempts[trial]
        texts = _as_json(attributes)
        return self.storage.transaction(lambda connection: report_trial(connection, attempt, index, value, texts))

    def write(self, trial: Trial, attributes: Mapping[str, Any]) -> bool:
        """Write user attributes of a trial; False, and nothing is written, where it is no longer ours."""
        return self.report(trial, 0, None, attributes)

    def finish(
        self,
        trial: Trial,
        state: TrialState,
        value: float | None = None,
        *,
        user: Mapping[str, Any] | None = None,
        system: Mapping[str, Any] | None = None,
    ) -> bool:
        """Finish the trial, as Optuna's `tell` does; False, and nothing is written, where it is no longer ours.

        user, system: its final attributes, written in the same transaction.
        """
        stored = self.stored(trial)
        if state is TrialState.PRUNED and stored.last_step is not None:
            value = stored.intermediate_values[stored.last_step]
        self.study.sampler.after_trial(self.study, stored, state, None if value is None else [value])
        attempt = self._attempts[trial]
        last = Texts(_as_json(user or {}), _as_json(system or {}))
        return self.storage.transaction(lambda connection: finish_trial(connection, attempt, state, value, last))

    def recover(self) -> list[int]:
        """Return the trials of dead workers to WAITING; returns their numbers."""
        orphans = self._orphans()
        if not orphans:
            return []
        return self.storage.transaction(lambda store: [each.number for each in orphans if return_trial(store, each)])

    def is_at_work(self) -> bool:
        """Whether a live worker, here or elsewhere, runs a trial."""
        return len(self._orphans()) < len(self._in_store(running_attempts))

    def running_elsewhere(self) -> int:
        """How many trials run in other queues, by what their workers have written."""
        running = self._in_store(running_attempts)
        owners = [(attempt, self.storage.get_trial(attempt.trial_id).user_attrs.get(Attr.OWNER)) for attempt in running]
        return sum(_is_of(owner, attempt) and owner["queue"] != self._name for attempt, owner in owners)

    def finished(self) -> int:
        """How many trials have finished."""
        return self._in_store(count_finished)

    def left(self) -> int:
        """How many trials have not finished, whoever runs them."""
        return self.target - self.finished()

    def _in_store(self, step: Callable[[Connection, int, int], _T]) -> _T:
        return self.storage.transaction(lambda connection: step(connection, self._study_id, self.target))

    def _owner(self, attempt: Attempt) -> dict[str, Any]:
        me = ProcessIdentity.of_this_process()
        return {**me.as_mapping(), "queue": self._name, "taken": attempt.start.isoformat()}

    def _orphans(self) -> list[Attempt]:
        """The RUNNING trials whose worker is dead."""
        running = self._in_store(running_attempts)
        for attempt in list(self._without_owner):
            if attempt not in running:
                self._without_owner.pop(attempt, None)
        silent = set(self.storage.stale_trial_ids(self._study_id)) if running else set()
        return [attempt for attempt in running if self._is_orphan(attempt, attempt.trial_id in silent)]

    def _is_orphan(self, attempt: Attempt, silent: bool) -> bool:
        """silent: its last heartbeat is older than the grace period, by the store's own clock."""
        owner = self.storage.get_trial(attempt.trial_id).user_attrs.get(Attr.OWNER)
        if not _is_of(owner, attempt):
            # Its worker is between the two steps of `take`, or died there. Our own clock decides, since that of the
            # worker's machine may be hours off.
            since = self._without_owner.setdefault(attempt, time.monotonic())
            return time.monotonic() - since > GRACE_SECONDS
        process = ProcessIdentity.from_mapping(owner)
        if not process.is_here():
            return silent
        if process.is_this_process():
            return owner.get("queue") not in _open_queues
        return not process.is_alive()


def _is_of(owner: Mapping[str, Any] | None, attempt: Attempt) -> TypeGuard[Mapping[str, Any]]:
    """Whether the owner is that of this attempt, not of an earlier one of the same trial."""
    return owner is not None and owner.get("taken") == attempt.start.isoformat()


def _as_json(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in attributes.items()}
