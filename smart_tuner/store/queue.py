"""The queue of a study: its trials taken by workers, given back, ended, recovered from workers that died.

A worker takes the first trial that waits, in one atomic step from WAITING to RUNNING, or makes the next one in one
transaction that counts and inserts; an interrupted one goes back to WAITING under its own number. So the number of
finished trials is exact whatever the number of workers, and taking one costs the same however many there are.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4
from weakref import WeakKeyDictionary

import optuna
import psutil
from optuna.trial import Trial, TrialState
from sqlalchemy import Connection

from smart_tuner.store.attributes import Attr, StudyAttr
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
_at_work: set[str] = set()  # the queues of this process that have taken trials
_FIXED_PARAMS = "fixed_params"  # Optuna's name for the values that a queued trial must take


class Queue:
    """The trials of one study, numbered 0 .. target-1; the first take the study's known-good settings.

    Thread-safe, as the store is. target: may be raised or lowered while workers are at work; trials beyond it wait.
    """

    def __init__(self, study: optuna.Study, storage: RetryingStorage, target: int) -> None:
        self.study, self.target = study, target
        self._storage = storage
        self._enqueue: list[dict[str, Any]] = study.user_attrs[StudyAttr.DEFINITION]["enqueue"]
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._taken: WeakKeyDictionary[Trial, Attempt] = WeakKeyDictionary()  # a trial taken again is another `Trial`
        self._unsigned: dict[Attempt, float] = {}  # when we first saw them so
        self._name = uuid4().hex  # tells our trials from those that another queue of this process has left behind

    def take(self) -> Trial | None:
        """The next trial, now RUNNING and ours: one that waits to be continued, else a new one. None: no more."""
        _at_work.add(self._name)
        taking = self._in_store(take_waiting) or self._in_store(begin_trial)
        if taking is None:
            return None
        trial_id = taking.trial_id
        # What Optuna's `ask` and `tell` do: makes the trial known to the study's cache, and what the thread's samplers
        # have seen of the other trials no older than this.
        known = self.study._storage.get_all_trials(self._study_id, deepcopy=False)
        self.study._thread_local.cached_all_trials = known
        if taking.number < len(self._enqueue) and not self._storage.get_trial(trial_id).params:
            self._storage.set_trial_system_attr(trial_id, _FIXED_PARAMS, self._enqueue[taking.number])
        trial = Trial(self.study, trial_id)
        self._taken[trial] = taking
        self._storage.record_heartbeat(trial_id)
        trial.set_user_attr(Attr.OWNER, {**_this_process(), "queue": self._name, "taken": taking.start.isoformat()})
        return trial

    def close(self) -> None:
        """Nothing that was taken is at work any more: what could not be given back may be taken over."""
        _at_work.discard(self._name)

    def give_back(self, trial: Trial) -> None:
        """An interrupted trial waits to be continued, by whoever takes it; one that is ours no more stays as it is."""
        taking = self._taken[trial]
        self._storage.transaction(lambda connection: return_trial(connection, taking))

    def beat(self, trial: Trial) -> bool:
        """Tell the store that the trial's worker is alive; False where the trial is ours no more."""
        if not self.is_ours(trial):
            return False
        self._storage.record_heartbeat(trial._trial_id)
        return True

    def is_ours(self, trial: Trial) -> bool:
        """False once another worker has taken it over, ours having been silent for too long."""
        taking = self._taken[trial]
        return self._storage.transaction(lambda connection: is_current(connection, taking))

    def report(self, trial: Trial, index: int, loss: float | None, attributes: Mapping[str, Any]) -> bool:
        """Write what a trial reports; False, and nothing happened, where it is ours no more."""
        taking, texts = self._taken[trial], _as_json(attributes)
        return self._storage.transaction(lambda connection: report_trial(connection, taking, index, loss, texts))

    def finish(
        self,
        trial: Trial,
        state: TrialState,
        value: float | None = None,
        *,
        user: Mapping[str, Any] | None = None,
        system: Mapping[str, Any] | None = None,
    ) -> bool:
        """End the trial, as Optuna's `tell` does; False, and nothing happened, where it is ours no more.

        user, system: its last attributes, which are there as soon as it has ended.
        """
        known = self._storage.get_trial(trial._trial_id)
        if state is TrialState.PRUNED and known.last_step is not None:
            value = known.intermediate_values[known.last_step]
        self.study.sampler.after_trial(self.study, known, state, None if value is None else [value])
        taking, last = self._taken[trial], Texts(_as_json(user or {}), _as_json(system or {}))
        return self._storage.transaction(lambda connection: finish_trial(connection, taking, state, value, last))

    def recover(self) -> list[int]:
        """Give back the trials whose worker is gone; return their numbers."""
        gone = self._gone()
        if not gone:
            return []
        return self._storage.transaction(lambda store: [t.number for t in gone if return_trial(store, t)])

    def is_at_work(self) -> bool:
        """Whether a worker that lives, here or elsewhere, has a trial."""
        return len(self._gone()) < len(self._in_store(running_attempts))

    def finished(self) -> int:
        """How many trials have ended."""
        return self._in_store(count_finished)

    def left(self) -> int:
        """How many trials have not ended, here or elsewhere."""
        return self.target - self.finished()

    def _in_store(self, step: Callable[[Connection, int, int], _T]) -> _T:
        return self._storage.transaction(lambda connection: step(connection, self._study_id, self.target))

    def _gone(self) -> list[Attempt]:
        """The trials that somebody has taken who is no more."""
        taken = self._in_store(running_attempts)
        for taking in list(self._unsigned):
            if taking not in taken:
                self._unsigned.pop(taking, None)
        silent = set(self._storage._get_stale_trial_ids(self._study_id)) if taken else set()
        return [taking for taking in taken if self._is_gone(taking, taking.trial_id in silent)]

    def _is_gone(self, taking: Attempt, silent: bool) -> bool:
        """silent: its heartbeat has been missing for the grace period, by the store's own clock."""
        owner = self._storage.get_trial(taking.trial_id).user_attrs.get(Attr.OWNER)
        if owner is None or owner.get("taken") != taking.start.isoformat():
            # Taken, but not signed: its worker is about to, or died before it could. Our own clock decides,
            # since that of the machine which took it may be hours off.
            since = self._unsigned.setdefault(taking, time.monotonic())
            return time.monotonic() - since > GRACE_SECONDS
        if owner["host"] == _this_machine():
            ours = owner["pid"] == os.getpid() and _is_alive(owner)
            return owner.get("queue") not in _at_work if ours else not _is_alive(owner)
        return silent


def _as_json(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in attributes.items()}


def _this_process() -> dict[str, Any]:
    me = psutil.Process()
    return {"host": _this_machine(), "pid": me.pid, "started": _started(me)}


def _started(process: psutil.Process) -> float:
    """Seconds; since the machine's own start where that can be told, for its clock may be set meanwhile."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return process.create_time()
    return int(stat.read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def _this_machine() -> str:
    """Where a process number means what it means here: host, its present run, and the namespace of numbers in it."""
    parts = [socket.gethostname()]
    if (boot := Path("/proc/sys/kernel/random/boot_id")).exists():
        parts.append(boot.read_text().strip())
    if Path("/proc/self/ns/pid").is_symlink():
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 (a name such as pid:[4026531836], no path)
    return " ".join(parts)


def is_gone_from_here(owner: Mapping[str, Any]) -> bool:
    """Whether a trial's worker, by its attribute `owner`, ran on this machine and does no more."""
    return owner.get("host") == _this_machine() and not _is_alive(owner)


def _is_alive(owner: Mapping[str, Any]) -> bool:
    try:
        process = psutil.Process(owner["pid"])
        # A number given anew to another process has another start.
        return abs(_started(process) - owner["started"]) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, OSError):
        return False
