"""Steps of trials between states, each one statement or transaction, so that workers that race lose nothing.

Optuna's own steps read a state and then write it, which on SQLite, without row locks, two can do at once. The time of
a trial's start tells one taking of it from the next.
"""

from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Table, func, insert, select, update


def move_trial(storage: optuna.storages.RDBStorage, seen: FrozenTrial, state: TrialState) -> bool:
    """Move a trial to WAITING or RUNNING in one atomic step; False where it has moved since it was `seen`.

    Optuna's own step reads the state and then writes it, under a row lock that SQLite does not have: there two
    threads that start together take the same trial. The time of the start tells one taking from the next.
    """
    trials: Table = optuna.storages._rdb.models.TrialModel.__table__
    unchanged = (
        trials.c.trial_id == seen._trial_id,
        trials.c.state == seen.state,
        trials.c.datetime_start.is_not_distinct_from(seen.datetime_start),
    )
    step = update(trials).where(*unchanged).values(state=state)
    if state is TrialState.RUNNING:
        step = step.values(datetime_start=datetime.now())
    with storage.engine.begin() as connection:
        return connection.execute(step).rowcount == 1


def file_trials(storage: optuna.storages.RDBStorage, study_id: int, target: int) -> None:
    """Make WAITING trials up to `target`, once, however many workers ask for it at the same moment."""
    models = optuna.storages._rdb.models
    studies: Table = models.StudyModel.__table__
    trials: Table = models.TrialModel.__table__
    ours = studies.c.study_id == study_id
    with storage.engine.begin() as connection:
        # A change that changes nothing: it holds the study's row (with SQLite the whole file) until the commit.
        connection.execute(update(studies).where(ours).values(study_name=studies.c.study_name))
        there = connection.execute(select(func.count()).where(trials.c.study_id == study_id)).scalar_one()
        rows = [{"study_id": study_id, "number": n, "state": TrialState.WAITING} for n in range(there, target)]
        if rows:
            connection.execute(insert(trials), rows)
