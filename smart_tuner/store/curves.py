"""The curves of trials, which the pruner compares: of one trial as Optuna reads it, of a whole study by two queries."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, or_, select

from smart_tuner.pruning import Curve, Point
from smart_tuner.store.attributes import Attr
from smart_tuner.store.extent import of_search
from smart_tuner.store.optuna_internals import (
    INTERMEDIATE_VALUES,
    TRIAL_USER_ATTRIBUTES,
    TRIALS,
    from_stored_value,
    study_id,
)
from smart_tuner.store.resting import waiting_starts
from smart_tuner.store.retrying import RetryingStorage
from trainer.objectives import VALIDATION_LOSS, Objective

_BATCH = 1000  # trials whose reports one statement reads


def curve_of(trial: FrozenTrial, objective: Objective) -> Curve:
    """The reports of a trial. objective: what its intermediate values are."""
    return _curve(trial.intermediate_values, trial.user_attrs, objective)


def losses_of(values: Mapping[int, float], attrs: Mapping[str, Any], objective: Objective) -> Mapping[int, float]:
    """The validation losses by report: a trial's intermediate values, where they are the objective."""
    if objective.metric == VALIDATION_LOSS:
        return values
    return {int(index): loss for index, loss in attrs.get(Attr.LOSS, {}).items()}


class StudyCurves:
    """The curves of all trials of a study but replicates. Those that do not change are cached. Thread-safe.

    A replicate would be compared with others as one of the best settings, once more. A curve changes only while its
    trial runs. Reads only what the pruner needs. Optuna's `get_trials` reads every row of every unfinished trial at
    each report.
    """

    def __init__(self, study: optuna.Study, storage: RetryingStorage, objective: Objective) -> None:
        self._objective = objective
        self._study_id = study_id(study)
        self._storage = storage
        self._lock = threading.Lock()  # held from a read until it is cached: an older read must not undo a newer one
        self.forget()

    def forget(self) -> None:
        """Read everything again the next time, also of finished trials."""
        with self._lock:
            self._curves: dict[int, Curve] = {}  # by trial id
            self._newest = 0  # the highest trial id at the last read
            self._running: set[int] = set()  # trial ids at the last read
            self._waiting: dict[int, datetime | None] = {}  # at the last read: trial id -> start

    def of_others(self, trial_id: int) -> list[Curve]:
        """The curves of all other trials that have reported anything."""
        return [curve for key, curve in self.all().items() if curve and key != trial_id]

    def waiting_above(self, number: int) -> set[int]:
        """The ids of the trials that wait, paused ones too, and have higher numbers."""
        higher = TRIALS.c.number > number
        return set(self._storage.transaction(lambda store: waiting_starts(store, self._study_id, higher)))

    def all(self) -> dict[int, Curve]:
        """The curves of all trials, by trial id."""
        with self._lock:
            read = self._storage.transaction(self._read)
            self._curves |= read.curves
            self._newest = max((self._newest, *read.running, *read.waiting, *read.curves))
            self._running = read.running
            self._waiting = read.waiting
            return dict(self._curves)

    def _read(self, connection: Connection) -> "_Read":
        """The curves of trials that are new, run, or have run since the last read.

        A trial that waited then and waits now with the same start has not run meanwhile.
        """
        searched = of_search(connection, self._study_id)
        waiting = waiting_starts(connection, self._study_id, searched)
        runs = TRIALS.c.state == TrialState.RUNNING
        may_have_run = or_(TRIALS.c.trial_id > self._newest, runs, TRIALS.c.trial_id.in_(self._running))
        columns = select(TRIALS.c.trial_id, TRIALS.c.state)
        rows = connection.execute(columns.where(TRIALS.c.study_id == self._study_id, may_have_run, searched)).all()
        continued = {key for key, start in self._waiting.items() if key not in waiting or waiting[key] != start}
        new = waiting.keys() - self._waiting.keys()
        changed = continued | new | {row.trial_id for row in rows}
        curves: dict[int, Curve] = {}
        for batch in _batches(sorted(changed)):
            curves |= _read_curves(connection, batch, self._objective)
        running = {row.trial_id for row in rows if not row.state.is_finished() and row.trial_id not in waiting}
        return _Read(curves, running, waiting)


@dataclass(frozen=True)
class _Read:
    """curves: of the trials that may have changed; running, waiting: as `StudyCurves` keeps them."""

    curves: Mapping[int, Curve]
    running: set[int]
    waiting: dict[int, datetime | None]


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]


def _read_curves(connection: Connection, trial_ids: Sequence[int], objective: Objective) -> dict[int, Curve]:
    attributes = TRIAL_USER_ATTRIBUTES.c
    reports = INTERMEDIATE_VALUES.c
    wanted = select(attributes.trial_id, attributes.key, attributes.value_json)
    wanted = wanted.where(attributes.trial_id.in_(trial_ids), attributes.key.in_((Attr.ALIGNMENT, Attr.LOSS)))
    found: dict[int, dict[str, Any]] = {trial_id: {} for trial_id in trial_ids}
    for row in connection.execute(wanted):
        found[row.trial_id][row.key] = json.loads(row.value_json)
    values: dict[int, dict[int, float]] = {trial_id: {} for trial_id in trial_ids}
    have_reports = [trial_id for trial_id, attrs in found.items() if attrs]
    for row in connection.execute(select(INTERMEDIATE_VALUES).where(reports.trial_id.in_(have_reports))):
        values[row.trial_id][row.step] = from_stored_value(row.intermediate_value, row.intermediate_value_type)
    return {trial_id: _curve(values[trial_id], found[trial_id], objective) for trial_id in trial_ids}


def _curve(values: Mapping[int, float], attrs: Mapping[str, Any], objective: Objective) -> Curve:
    """A point for each report of which loss and alignment are stored. attrs: the trial's user attributes."""
    alignment: Mapping[str, float] = attrs.get(Attr.ALIGNMENT, {})
    return {
        index: Point(index, loss, alignment[str(index)], values.get(index))
        for index, loss in losses_of(values, attrs, objective).items()
        if str(index) in alignment
    }
