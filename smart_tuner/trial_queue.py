"""The queue of a study: its trials filed, taken by workers, given back, recovered from workers that died.

All trials that were asked for are filed beforehand as WAITING; a worker takes one in one atomic step from
WAITING to RUNNING, and an interrupted one goes back to WAITING under its own number. So the number of finished
trials is exact whatever the number of workers, and no second record of "how many" exists.
"""

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from smart_tuner.attributes import Attr, StudyAttr
from smart_tuner.storage import GRACE_SECONDS
from smart_tuner.transitions import file_trials, move_trial

UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)
_FIXED_PARAMS = "fixed_params"  # Optuna's name for the values that a queued trial must take


class Queue:
    """The trials of one study, numbered 0 .. target-1; the first take the study's known-good settings.

    Thread-safe, as the store is.
    """

    def __init__(self, study: optuna.Study, storage: RDBStorage, target: int) -> None:
        self.study, self.target = study, target
        self._storage = storage
        self._enqueue: list[dict[str, Any]] = study.user_attrs[StudyAttr.DEFINITION]["enqueue"]
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._taken: dict[int, FrozenTrial] = {}  # by trial id, as they were when we took them
        self._unsigned: dict[tuple[int, datetime | None], float] = {}  # when we first saw them so

    def file(self) -> None:
        """Make the trials that are missing."""
        file_trials(self._storage, self._study_id, self.target)

    def take(self) -> Trial | None:
        """The next trial to run, now RUNNING and ours; None when none waits."""
        for waiting in self._trials(TrialState.WAITING):
            if not move_trial(self._storage, waiting, TrialState.RUNNING):
                continue
            self._taken[waiting._trial_id] = taken = self._storage.get_trial(waiting._trial_id)
            if taken.number < len(self._enqueue) and not taken.params:
                known_good = self._enqueue[taken.number]
                self._storage.set_trial_system_attr(taken._trial_id, _FIXED_PARAMS, known_good)
            trial = Trial(self.study, taken._trial_id)
            self.beat(trial)
            trial.set_user_attr(Attr.OWNER, {**_this_process(), "taken": str(taken.datetime_start)})
            return trial
        return None

    def give_back(self, trial: Trial) -> None:
        """An interrupted trial waits to be continued, by whoever takes it; one that is ours no more stays as it is."""
        move_trial(self._storage, self._taken[trial._trial_id], TrialState.WAITING)

    def beat(self, trial: Trial) -> None:
        """Tell the store that the trial's worker is alive."""
        self._storage.record_heartbeat(trial._trial_id)

    def recover(self) -> list[int]:
        """Give back the trials whose worker is gone; return their numbers."""
        silent = set(self._storage._get_stale_trial_ids(self._study_id))
        gone = [t for t in self._trials(TrialState.RUNNING) if self._is_gone(t, t._trial_id in silent)]
        return [t.number for t in gone if move_trial(self._storage, t, TrialState.WAITING)]

    def finished(self) -> list[FrozenTrial]:
        return [t for t in self._trials() if t.state.is_finished()]

    def unfinished(self) -> list[FrozenTrial]:
        return self._trials(*UNFINISHED)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those below the target: a study that was once asked for more keeps the others waiting."""
        # Through the study's own cache, which otherwise does not know the trials that other processes have filed.
        trials = self.study._storage.get_all_trials(self._study_id, deepcopy=False, states=states or None)
        return sorted((t for t in trials if t.number < self.target), key=lambda t: t.number)

    def _is_gone(self, trial: FrozenTrial, silent: bool) -> bool:
        """silent: its heartbeat has been missing for the grace period, by the store's own clock."""
        owner = trial.user_attrs.get(Attr.OWNER)
        if owner is None or owner["taken"] != str(trial.datetime_start):
            # Taken, but not signed: its worker is about to, or died before it could. Our own clock decides,
            # since that of the machine which took it may be hours off.
            since = self._unsigned.setdefault((trial._trial_id, trial.datetime_start), time.monotonic())
            return time.monotonic() - since > GRACE_SECONDS
        if owner["host"] == _this_machine():
            return not _is_alive(owner)
        return silent


def _this_process() -> dict[str, Any]:
    me = psutil.Process()
    return {"host": _this_machine(), "pid": me.pid, "started": me.create_time()}


def _this_machine() -> str:
    """Where a process number means what it means here: host, its present run, and the namespace of numbers in it."""
    parts = [socket.gethostname()]
    if (boot := Path("/proc/sys/kernel/random/boot_id")).exists():
        parts.append(boot.read_text().strip())
    if Path("/proc/self/ns/pid").is_symlink():
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 (a name such as pid:[4026531836], no path)
    return " ".join(parts)


def _is_alive(owner: Mapping[str, Any]) -> bool:
    try:
        process = psutil.Process(owner["pid"])
        # A number given anew to another process has another start; the clock may have been set by a little.
        return abs(process.create_time() - owner["started"]) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
