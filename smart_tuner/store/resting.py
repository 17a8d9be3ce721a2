"""Reads the trials of a study for Optuna's cache; those that have paused, once.

Optuna's cache keeps finished trials alone: each time somebody asks for the trials of a study, it reads all rows of
every unfinished one. In a study whose trials pause, these are most of them. A paused trial does not change until it is
continued, which gives it another start; so what was read of it is kept, by its start.
"""

from collections.abc import Mapping
from datetime import datetime

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, select

from smart_tuner.store.attributes import Attr
from smart_tuner.store.optuna_internals import TRIALS, read_trials, trial_id


class RestingTrials:
    """Of one storage, all its studies. Thread-safe: what is kept under an id and a start is the same whoever reads."""

    def __init__(self) -> None:
        self._kept: Mapping[int, tuple[datetime | None, FrozenTrial]] = {}  # start and trial, by trial id

    def read(self, storage: RDBStorage, study_id: int, unfinished: set[int], newer_than: int) -> list[FrozenTrial]:
        """The trials among `unfinished` and those with a higher id than `newer_than`, as Optuna's storage reads them.

        A trial that is continued while this runs may be shown as it was before.
        """
        with storage.engine.connect() as connection:
            waiting = waiting_starts(connection, study_id)
            ids = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id, TRIALS.c.trial_id > newer_than)
            newer = set(connection.execute(ids).scalars())
        at_rest = self._at_rest(waiting)
        if at_rest:
            wanted = (unfinished | newer) - at_rest.keys()
            read = read_trials(storage, study_id, wanted, max(newer, default=newer_than))
        else:
            read = read_trials(storage, study_id, unfinished, newer_than)
        fresh = {trial_id(trial): trial for trial in read if _rests(trial)}
        self._kept = {**self._kept, **{key: (waiting[key], trial) for key, trial in fresh.items() if key in waiting}}
        asked = (trial for key, trial in at_rest.items() if key in unfinished or key > newer_than)
        return sorted([*read, *asked], key=trial_id)

    def _at_rest(self, waiting: Mapping[int, datetime | None]) -> dict[int, FrozenTrial]:
        """The trials that are as they were when they were read. waiting: trial id -> start, of those that wait now."""
        kept = self._kept
        return {key: kept[key][1] for key, start in waiting.items() if key in kept and kept[key][0] == start}


def waiting_starts(
    connection: Connection, study_id: int, *conditions: ColumnElement[bool]
) -> dict[int, datetime | None]:
    """Trial id -> start of the last attempt, of the trials that wait, also of those that have paused."""
    columns = select(TRIALS.c.trial_id, TRIALS.c.datetime_start)
    waiting = columns.where(TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.WAITING, *conditions)
    return {row.trial_id: row.datetime_start for row in connection.execute(waiting)}


def _rests(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.WAITING and Attr.PAUSED in trial.user_attrs
