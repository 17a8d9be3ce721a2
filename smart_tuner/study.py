"""A study in the store: opened or created, its trials filed, taken by workers, given back, finished.

All trials that were asked for are filed beforehand as WAITING; a worker takes one by the store's atomic
step from WAITING to RUNNING, and an interrupted one goes back to WAITING under its own number. So the
number of finished trials is exact whatever the number of workers, and no second record of "how many" exists.

What a trial's user attributes hold is named once, in `Attr`.
"""

import json
import socket
import threading
import uuid
import warnings
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import optuna
import psutil
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from smart_tuner.errors import StudyError
from smart_tuner.pruning import Curve, Point
from smart_tuner.spec import StudySpec
from smart_tuner.storage import GRACE_SECONDS, move_trial

UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


class Attr(StrEnum):
    """User attributes of trials."""

    OWNER = "owner"  # host, pid and start time of the process that runs it, and when it took the trial
    RUN_DIR = "run_dir"  # relative to the workspace
    REASON = "reason"  # why it was pruned or failed
    METRICS = "metrics"  # figures of its best report, and free-running ones
    FEASIBLE = "feasible"
    ALIGNMENT = "alignment"  # {report index: score}; the losses are Optuna's intermediate values


class StudyAttr(StrEnum):
    """User attributes of studies."""

    DEFINITION = "definition"  # the YAML as parsed
    ID = "id"  # tells this study from another of the same name that shares an MLflow server


# Trials of one study must agree in these, or they cannot be compared. What is searched and how may change.
_COMPARED = ("corpus", "preset", "fixed", "budget", "objective", "constraints")


def open_study(storage: RDBStorage, spec: StudySpec) -> optuna.Study:
    """Open the study of this name, or create it. Raises StudyError where it exists with another definition."""
    study = optuna.create_study(
        storage=storage,
        study_name=spec.name,
        direction=spec.objective.direction,
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    study.sampler = _sampler(spec, None) if spec.sampler.seed is None else SeededPerTrial(spec)
    definition = json.loads(spec.model_dump_json())
    known = study.user_attrs.get(StudyAttr.DEFINITION)
    if known is None:
        study.set_user_attr(StudyAttr.ID, uuid.uuid4().hex[:12])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([spec.objective.metric])  # what dashboards write on the axis
    else:
        _refuse_other_definition(spec.name, known, definition)
    if known != definition:
        study.set_user_attr(StudyAttr.DEFINITION, definition)
    return study


def _refuse_other_definition(name: str, known: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in _COMPARED:
        if known.get(key) != now[key]:
            raise StudyError(
                f"study {name!r} exists with `{key}` = {json.dumps(known.get(key))}, but is now to run with "
                f"{json.dumps(now[key])}; trials that differ in it cannot be compared. "
                "Give the new study another name with --name."
            )


def _sampler(spec: StudySpec, seed: int | None) -> optuna.samplers.BaseSampler:
    if spec.sampler.kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=spec.sampler.startup_trials,
            multivariate=True,
            group=True,  # conditional parameters are modelled apart
            constant_liar=True,  # trials that run at the same time keep their distance
        )


class SeededPerTrial(optuna.samplers.BaseSampler):
    """A sampler anew for each trial, seeded by the study's seed and the trial's number.

    So neither a study that is continued nor workers that share one draw a point twice. Thread-safe.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._samplers: dict[int, optuna.samplers.BaseSampler] = {}
        self._lock = threading.Lock()  # making one touches the process's warning filters

    def _of(self, trial: FrozenTrial) -> optuna.samplers.BaseSampler:
        with self._lock:
            if trial.number not in self._samplers:
                seed = zlib.crc32(f"{self._spec.sampler.seed}/{trial.number}".encode())
                self._samplers[trial.number] = _sampler(self._spec, seed)
            return self._samplers[trial.number]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        with self._lock:
            self._samplers.pop(trial.number, None)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


class Queue:
    """The trials of one study, numbered 0 .. target-1. Thread-safe, as the store is."""

    def __init__(self, study: optuna.Study, storage: RDBStorage, target: int) -> None:
        self.study, self.target = study, target
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)

    def file(self, enqueue: tuple[Mapping[str, Any], ...]) -> None:
        """Make the trials that are missing; the known-good settings come first."""
        for number in range(len(self._trials()), self.target):
            self.study.enqueue_trial(dict(enqueue[number]) if number < len(enqueue) else {})

    def take(self) -> Trial | None:
        """The next trial to run, now RUNNING and ours; None when none waits."""
        for waiting in self._trials(TrialState.WAITING):
            if not move_trial(self._storage, waiting, TrialState.RUNNING):
                continue
            trial = Trial(self.study, waiting._trial_id)
            self.beat(trial)
            trial.set_user_attr(Attr.OWNER, {**_this_process(), "taken": str(trial.datetime_start)})
            return trial
        return None

    def give_back(self, trial: Trial) -> None:
        """An interrupted trial waits to be continued, by whoever takes it."""
        move_trial(self._storage, self._storage.get_trial(trial._trial_id), TrialState.WAITING)

    def beat(self, trial: Trial) -> None:
        """Tell the store that the trial's worker is alive."""
        self._storage.record_heartbeat(trial._trial_id)

    def recover(self) -> list[int]:
        """Give back the trials whose worker is gone; return their numbers."""
        silent = set(self._storage._get_stale_trial_ids(self._study_id))
        recovered = []
        for running in self._trials(TrialState.RUNNING):
            if _is_gone(running, running._trial_id in silent) and move_trial(
                self._storage, running, TrialState.WAITING
            ):
                recovered.append(running.number)
        return recovered

    def finished(self) -> list[FrozenTrial]:
        return [t for t in self._trials() if t.state.is_finished()]

    def unfinished(self) -> list[FrozenTrial]:
        return self._trials(*UNFINISHED)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those below the target: a study that was once asked for more keeps the others waiting."""
        # Through the study's own cache, which otherwise does not know the trials that other processes have filed.
        trials = self.study._storage.get_all_trials(self._study_id, deepcopy=False, states=states or None)
        return sorted((t for t in trials if t.number < self.target), key=lambda t: t.number)


def _this_process() -> dict[str, Any]:
    me = psutil.Process()
    return {"host": socket.gethostname(), "pid": me.pid, "started": me.create_time()}


def _is_gone(trial: FrozenTrial, silent: bool) -> bool:
    """silent: its heartbeat has been missing for the grace period."""
    owner = trial.user_attrs.get(Attr.OWNER)
    if owner is None or owner["taken"] != str(trial.datetime_start):
        # Taken, but not signed: its worker is about to, or died before it could.
        started = trial.datetime_start or datetime.min
        return datetime.now() - started > timedelta(seconds=GRACE_SECONDS)
    if owner["host"] == socket.gethostname():
        return not _is_alive(owner)
    return silent


def _is_alive(owner: Mapping[str, Any]) -> bool:
    try:
        process = psutil.Process(owner["pid"])
        # A number given anew to another process has another start; clocks of containers differ by a little.
        return abs(process.create_time() - owner["started"]) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def curve(trial: FrozenTrial) -> Curve:
    """What a trial has reported, as the pruner wants it."""
    alignment = trial.user_attrs.get(Attr.ALIGNMENT, {})
    return {
        index: Point(index, loss, alignment[str(index)])
        for index, loss in trial.intermediate_values.items()
        if str(index) in alignment
    }


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The feasible COMPLETE trial of least loss, or None where no trial is feasible."""
    complete = [
        t for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if t.user_attrs[Attr.FEASIBLE]
    ]
    return min(complete, key=lambda t: (t.value, t.number), default=None)


def nearest_trial(study: optuna.Study) -> FrozenTrial | None:
    """Where none is feasible: the finished trial whose alignment came closest."""
    scored = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and Attr.METRICS in t.user_attrs]
    return max(scored, key=lambda t: t.user_attrs[Attr.METRICS].get("alignment", 0.0), default=None)
