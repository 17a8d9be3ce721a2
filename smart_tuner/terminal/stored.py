"""A view of a study that runs anywhere, from the store, and from the records of trials that are on this machine.

A record shows progress between two reports. Of a trial whose folder is not on this machine, only its reports and the
last heartbeat of its worker are known.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner import figures
from smart_tuner.formatting import duration
from smart_tuner.machine.process_identity import ProcessIdentity, host_name, this_machine
from smart_tuner.preparations import preparations
from smart_tuner.results import objective_of
from smart_tuner.spec import BudgetSpec
from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.control import Control, read_control
from smart_tuner.store.curves import curve_of
from smart_tuner.store.heartbeats import seconds_since_heartbeat
from smart_tuner.store.optuna_internals import study_id
from smart_tuner.store.queue import Queue
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import GRACE_SECONDS
from smart_tuner.terminal.progress import SILENT_SECONDS, TrialProgress
from smart_tuner.terminal.tally import tally_of
from smart_tuner.terminal.view import Running, View
from smart_tuner.working_time import seconds_at_work, stored_spans
from smart_tuner.workspace import Workspace
from trainer.objectives import Objective
from trainer.protocol import EventReader, RunDir


class StoredStudy:
    """`view` reads the store each time, and of the records only what was appended. Not thread-safe."""

    def __init__(self, study: optuna.Study, storage: RetryingStorage, workspace: Path) -> None:
        self._study = study
        self._storage = storage
        self._workspace = workspace
        self._records: dict[tuple[int, datetime], _Record] = {}  # by number and start of the trial
        self._objective = objective_of(study)
        definition = study.user_attrs.get(StudyAttr.DEFINITION, {})
        self._budget = BudgetSpec.model_validate(definition["budget"]) if definition else None

    def view(self) -> View:
        """Raises StorageError if the store does not answer for minutes."""
        control = read_control(self._study)
        trials = self._study.get_trials(deepcopy=False)
        tally = tally_of(trials)
        running = [trial for trial in trials if trial.state is TrialState.RUNNING]
        silent = seconds_since_heartbeat(self._storage, study_id(self._study)) if running else {}
        spans = [span for t in trials for span in stored_spans(t, until=_at_work_until(silent.get(t.number, 0.0)))]
        missing = tally.finished < control.target or self._lacks_replicates(control)
        halt = control.halt if missing or running else None  # a stopped study may have been finished after all
        lacks = halt is None and missing
        return View(
            self._study.study_name,
            control.target,
            tally,
            running=self._rows(running, silent),
            elapsed=seconds_at_work(spans) if spans else None,
            notice=halt or (self._why_nothing_runs() if lacks and not running else ""),
            objective=figures.objective(self._objective.metric),
            goes_on=lacks or any(seconds < GRACE_SECONDS for seconds in silent.values()),
        )

    def _lacks_replicates(self, control: Control) -> bool:
        return self._budget is not None and Queue(self._study, self._storage, control.target).replicates_left() > 0

    def _why_nothing_runs(self) -> str:
        name = self._study.study_name
        known = next((each for each in preparations(Workspace(self._workspace)) if each.study == name), None)
        return str(known) if known else "no worker is at work on it"

    def _rows(self, running: list[FrozenTrial], silent: Mapping[int, float]) -> tuple[Running, ...]:
        if self._budget is None:
            return ()
        taken = {(trial.number, trial.datetime_start or datetime.min): trial for trial in running}
        self._records = {key: self._records.get(key) or self._record(trial) for key, trial in taken.items()}
        return tuple(self._records[key].row(trial, silent.get(key[0])) for key, trial in taken.items())

    def _record(self, trial: FrozenTrial) -> "_Record":
        assert self._budget is not None
        return _Record(trial, self._budget, self._workspace, self._objective)


class _Record:
    """One start of a trial: its progress, from its record as far as that was read, and from its reports."""

    def __init__(self, trial: FrozenTrial, budget: BudgetSpec, workspace: Path, objective: Objective) -> None:
        self._objective = objective
        self._taken = _epoch(trial.datetime_start) if trial.datetime_start else time.time()
        replicate_of = trial.user_attrs.get(Attr.REPLICATE_OF)
        self._progress = TrialProgress(trial.number, trial.params, budget, self._taken, replicate_of=replicate_of)
        self._workspace = workspace
        self._reader: EventReader | None = None  # once the trial has a folder
        self._has_events = False

    def row(self, trial: FrozenTrial, silent: float | None) -> Running:
        """silent: seconds since the last heartbeat of its worker."""
        self._read(trial)
        for index, point in sorted(curve_of(trial, self._objective).items()):
            spoken = {} if point.value is None else {self._objective.metric: point.value}
            self._progress.report(index, point.loss, point.alignment, spoken)
        row = replace(self._progress.row(time.time()), params=trial.params)  # Optuna stores parameters one by one
        owner = trial.user_attrs.get(Attr.OWNER, {})
        host = host_name(owner.get("host", ""))
        here = host == host_name(this_machine())
        worker = ProcessIdentity.from_mapping(owner) if owner else None
        if worker is not None and worker.is_here() and not worker.is_alive():
            return replace(row, here=here, left=None, doing="worker gone")
        if silent is not None and silent > SILENT_SECONDS:
            return replace(row, here=here, doing=f"silent {duration(silent)}")
        if not here and not self._has_events:
            return replace(row, here=here, doing=f"on {host}" if host else "")
        return replace(row, here=here)

    def _read(self, trial: FrozenTrial) -> None:
        """Read what is new in the record. If the disk cannot be read, the reports in the store remain."""
        folder = trial.user_attrs.get(Attr.RUN_DIR)
        if self._reader is None and folder:
            self._reader = EventReader(RunDir(self._workspace / folder).events)
        if self._reader is None:
            return
        with suppress(OSError):
            for event in self._reader.read():
                self._has_events = True
                if event.time >= self._taken:
                    self._progress.take(event, event.time)
                else:
                    self._progress.recall(event)


def _at_work_until(silent: float) -> float:
    """Until when a worker was at work whose last heartbeat was `silent` seconds ago."""
    return time.time() - (silent if silent > GRACE_SECONDS else 0.0)


def _epoch(moment: datetime) -> float:
    """Seconds since 1970. Optuna's times are naive and local, as `timestamp` expects."""
    return moment.timestamp()
