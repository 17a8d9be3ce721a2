"""The queue of a study: workers take its trials, give them back, finish them, and recover those of dead workers.

A worker takes the first interrupted trial, which is WAITING, in one atomic step to RUNNING. Where none is, it continues
the paused trial that is most worth it, or makes the next trial in one transaction that counts and inserts. When all
have finished, it makes replicates of the best ones, one by one in the same way, if the study is to have any. An
interrupted trial goes back to WAITING under its own number; so does one that pauses, which is marked as such. So the
number of finished trials is exact with any number of workers, and no trial ever has two.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import optuna
import psutil
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import Connection

from smart_tuner.errors import StudyError
from smart_tuner.machine.process_identity import ProcessIdentity
from smart_tuner.spec import StudySpec, parse_study
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.enqueued import KnownGood, give_entry
from smart_tuner.store.extent import count_finished, count_left, count_unfinished_replicates, has_searched, may_begin
from smart_tuner.store.optuna_internals import FIXED_PARAMS_KEY, forget_trials, refresh_trials, trial_id
from smart_tuner.store.owners import Owners
from smart_tuner.store.paused import PausedTrials
from smart_tuner.store.replicates import Due, due, is_replicate, that_count
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.statements import (
    Attempt,
    Replicate,
    Texts,
    all_paused,
    begin_replicate,
    begin_trial,
    finish_trial,
    frames_trained,
    has_next,
    is_current,
    is_idle,
    pause_trial,
    paused_attempts,
    prune_paused,
    report_trial,
    return_trial,
    running_attempts,
    settle,
    take_paused,
    take_waiting,
)

_T = TypeVar("_T")
_ENDED_AT_ONCE = 100  # paused trials, by one transaction


class Queue:
    """The trials of one study: `target` of its search, and replicates.

    The first that nobody has given a setting take those of the definition's `enqueue`, each once.

    Thread-safe, as the store is. target: may be changed while workers are at work; trials beyond it stay as they are,
    but those that have paused are the first to be given up. paused: chooses among paused trials; without it, none is
    continued.
    """

    def __init__(
        self, study: optuna.Study, storage: RetryingStorage, target: int, paused: PausedTrials | None = None
    ) -> None:
        self.study = study
        self.storage = storage
        self.target = target
        self.revivals = 0  # after which all trials were read again
        self._paused = paused
        definition = study.user_attrs[StudyAttr.DEFINITION]
        self._enqueue = KnownGood(definition["enqueue"], definition["search"])
        self._is_enqueue_tried = not definition["enqueue"]  # all of it
        self._replicated = _replicated(definition)
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._attempts: WeakKeyDictionary[Trial, Attempt] = WeakKeyDictionary()  # each attempt has a `Trial` of its own
        self._left: WeakSet[Trial] = WeakSet()  # to their trainers
        self._choosing = threading.Lock()  # else all threads choose the same paused trial at once
        self._nothing_to_do = -math.inf  # when the last look began that found so, by `time.monotonic`
        self._owners = Owners()

    def take(self, left: Callable[[], float] = lambda: math.inf) -> Trial | None:
        """The next trial, now RUNNING and ours: an interrupted one, else the worthiest paused one, else a new one.

        A new one may be a replicate. None where the study has all trials, and none of them is worth going on with for
        now. left: gives the budgets that one more trial can train before the study's time is up.
        """
        self._owners.open()
        attempt = self._in_store(take_waiting) or self._continue_or_begin(left) or self._begin_replicate()
        if attempt is None:
            return None
        refresh_trials(self.study)
        self._fix_params(attempt)
        self.storage.record_heartbeat(attempt.trial_id)
        owner = _as_json({Attr.OWNER: self._owners.record(attempt, ProcessIdentity.of_this_process())})
        if not self.storage.transaction(lambda connection: report_trial(connection, attempt, 0, None, owner)):
            return None  # we were suspended for so long that another worker has taken it over
        trial = Trial(self.study, attempt.trial_id)
        self._attempts[trial] = attempt
        return trial

    def may_take(self) -> bool:
        """Whether `take` may find a trial. Claims nothing."""
        return self._in_store(has_next) or self._may_continue() or bool(self._due())

    def settle(self, why: str) -> int | None:
        """Begin no further trial: the target falls to those that have begun, unless people ask for more meanwhile.

        Returns the new target; None where it was not lowered here.
        """
        asked = self.target
        settled = self.storage.transaction(lambda connection: settle(connection, self._study_id, asked, why))
        self.target = settled.target
        return settled.target if settled.is_lowered else None

    def _fix_params(self, attempt: Attempt) -> None:
        """Give a trial that has not begun an entry of `enqueue`. One that waited with a setting keeps that."""
        if self._is_enqueue_tried:
            return
        stored = self.storage.get_trial(attempt.trial_id)
        if stored.params or FIXED_PARAMS_KEY in stored.system_attrs:
            return
        self._is_enqueue_tried = not self.storage.transaction(
            lambda connection: give_entry(connection, self._study_id, attempt.trial_id, self._enqueue)
        )

    def _may_continue(self) -> bool:
        return self._of_one_look(self._worthiest) is not None

    def _worthiest(self) -> Attempt | None:
        """The paused trial to go on with where no new one may begin."""
        if self._paused is None or not (paused := self._in_store(paused_attempts)):
            return None
        return self._paused.worthiest(paused, may_begin=False)

    def _continue_or_begin(self, left: Callable[[], float]) -> Attempt | None:
        return self._of_one_look(partial(self._choose, left))

    def _of_one_look(self, look: Callable[[], Attempt | None]) -> Attempt | None:
        """The answer of `look`; None at once where another thread has found nothing since this one asked."""
        asked = time.monotonic()
        with self._choosing:
            if asked < self._nothing_to_do:
                return None
            began = time.monotonic()
            if (attempt := look()) is None:
                self._nothing_to_do = began
            return attempt

    def _choose(self, left: Callable[[], float]) -> Attempt | None:
        while self._paused is not None and (paused := self._in_store(paused_attempts)):
            begins = self._in_store(may_begin)
            chosen = self._paused.worthiest(paused, may_begin=begins, left=left())
            if chosen is None and not begins:
                return None
            attempt = self._in_store(begin_trial) if chosen is None else self._take_paused(chosen)
            if attempt is not None:  # else another worker was faster: choose again
                return attempt
        return self._in_store(begin_trial)

    def _begin_replicate(self) -> Attempt | None:
        for wanted in self._due():
            original = wanted.original
            replicate = Replicate(original.number, original.params, wanted.seeds)
            if (attempt := self._in_store(partial(begin_replicate, wanted=replicate))) is not None:
                return attempt
        return None

    def _due(self) -> list[Due]:
        """The replicates that have not begun, once the search has ended."""
        spec = self._replicated
        if spec is None or spec.replicates is None or not self._in_store(has_searched):
            return []
        trials = that_count(self.study.get_trials(deepcopy=False), self.target)
        fitting = [trial for trial in trials if spec.takes(trial.params) or is_replicate(trial)]
        return list(due(fitting, spec.replicates.top, spec.replicates.seeds))

    def _take_paused(self, chosen: Attempt) -> Attempt | None:
        return self.storage.transaction(lambda connection: take_paused(connection, chosen))

    def stored(self, trial: Trial) -> FrozenTrial:
        """The trial with all that the store has of it."""
        return self.storage.get_trial(trial_id(trial))

    def close(self) -> None:
        """Declare that no trial of this queue runs any longer: those that could not be given back can be recovered."""
        self._owners.close()

    def give_back(self, trial: Trial) -> None:
        """Return an interrupted trial to WAITING, so that any worker may continue it. Nothing where it is not ours."""
        if trial in self._left:
            return
        attempt = self._attempts[trial]
        self.storage.transaction(lambda connection: return_trial(connection, attempt))

    def leave_to(self, trial: Trial, pid: int) -> None:
        """Leave a trial to its trainer, a process that cannot be killed, in place of returning it to WAITING.

        It is then recovered as the trial of a dead worker is: on this machine when the process is gone, on others,
        which may not share its folder, after the grace period. Does nothing where the trial is not ours, or the
        process is gone.
        """
        try:
            trainer = ProcessIdentity.of(pid)
        except (psutil.NoSuchProcess, OSError):
            return
        if self.write(trial, {Attr.OWNER: self._owners.record(self._attempts[trial], trainer)}):
            self._left.add(trial)

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

    def pause(self, trial: Trial, *, user: Mapping[str, Any], system: Mapping[str, Any] | None = None) -> bool:
        """Let the trial pause; False, and nothing is written, where it is no longer ours.

        user, system: its attributes, written in the same transaction; one of them is `Attr.PAUSED`.
        """
        # Frees what the sampler keeps of the trial; Optuna has no state of its own for that.
        self.study.sampler.after_trial(self.study, self.stored(trial), TrialState.PRUNED, None)
        attempt = self._attempts[trial]
        last = Texts(_as_json(user), _as_json(system or {}))
        return self.storage.transaction(lambda connection: pause_trial(connection, attempt, last))

    def forget(self) -> None:
        """Read all trials again: finished ones have been revived."""
        forget_trials(self.study)
        if self._paused is not None:
            self._paused.forget()
        self.revivals += 1

    def paused(self) -> Mapping[int, datetime]:
        """The trials that have paused, also beyond the target: number -> start of the last attempt."""
        return {attempt.number: attempt.start for attempt in self._all_paused()}

    def _all_paused(self) -> list[Attempt]:
        return self.storage.transaction(lambda connection: all_paused(connection, self._study_id))

    def end_paused(self, user: Callable[[str], Mapping[str, Any]]) -> list[int]:
        """Where nothing runs or can begin, and no paused trial is worth going on with: end them as PRUNED.

        user: the final attributes of a trial that had paused for this reason. Returns the numbers of those that were
        ended here. One transaction ends many, if still nothing runs or can begin.
        """
        # In this order: once nothing runs, nothing pauses any longer.
        if self._paused is None or not self._in_store(is_idle) or not (paused := self._in_store(paused_attempts)):
            return []
        if self._paused.worthiest(paused, may_begin=False) is not None:
            return []
        steps = [paused[i : i + _ENDED_AT_ONCE] for i in range(0, len(paused), _ENDED_AT_ONCE)]
        return [number for some in steps for number in self._prune_paused(some, user, if_idle=True)]

    def give_up(self, numbers: Container[int], user: Callable[[str], Mapping[str, Any]]) -> int | None:
        """End, as PRUNED, the paused trial among `numbers` that is least worth going on with, and return its number.

        Those beyond the target come first: nobody goes on with them. None where none of them is paused any longer, or
        where another worker has changed that one meanwhile. user: as for `end_paused`.
        """
        assert self._paused is not None
        paused = [attempt for attempt in self._all_paused() if attempt.number in numbers]
        counted = set(self._in_store(paused_attempts))
        if not paused:
            return None
        least = self._paused.least_worth([attempt for attempt in paused if attempt not in counted] or paused)
        return least.number if self._prune_paused([least], user) else None

    def _prune_paused(
        self, paused: Sequence[Attempt], user: Callable[[str], Mapping[str, Any]], *, if_idle: bool = False
    ) -> list[int]:
        """The numbers of those that were ended here: another worker may continue or end some by now."""

        def texts(why: str) -> Mapping[str, str]:
            return _as_json(user(why))

        def step(connection: Connection) -> list[int]:
            if if_idle and not is_idle(connection, self._study_id, self.target, hold=True):
                return []
            return [each.number for each in paused if prune_paused(connection, each, texts)]

        return self.storage.transaction(step)

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
        return self._owners.elsewhere(self._in_store(running_attempts))

    def finished(self) -> int:
        """How many trials of the search have finished."""
        return self._in_store(count_finished)

    def left(self) -> int:
        """How many trials have not finished, whoever runs them; with replicates, once the search has ended."""
        return self._in_store(count_left) + self._missing_replicates()

    def replicates_left(self) -> int:
        """How many replicates have not finished; before the search has ended, those that are to begin are not known."""
        return self._in_store(count_unfinished_replicates) + self._missing_replicates()

    def _missing_replicates(self) -> int:
        return sum(wanted.missing for wanted in self._due())

    def frames(self) -> int:
        """How many frames all trials have trained, whoever runs them."""
        return self.storage.transaction(lambda connection: frames_trained(connection, self._study_id))

    def _in_store(self, step: Callable[[Connection, int, int], _T]) -> _T:
        return self.storage.transaction(lambda connection: step(connection, self._study_id, self.target))

    def _orphans(self) -> list[Attempt]:
        """The RUNNING trials whose worker is dead."""
        running = self._in_store(running_attempts)
        silent = set(self.storage.stale_trial_ids(self._study_id)) if running else set()
        return self._owners.orphans(running, silent)


def _replicated(definition: Mapping[str, Any]) -> StudySpec | None:
    """The definition of a study with replicates; None for one without, or of a version that this one cannot read."""
    if definition.get("replicates") is None:
        return None
    with suppress(StudyError):  # `study.spec_of` raises it where trials are to be run
        return parse_study(definition, "the store")
    return None


def _as_json(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in attributes.items()}
