"""Steps of trials between states, each one transaction, so that workers that race lose nothing and double nothing.

Optuna's own steps read a state and then write it, which on SQLite, without row locks, two can do at once. The time of
a trial's start tells one taking of it from the next. Every step may be sent again where the connection broke before
its answer came.
"""

from datetime import datetime, timedelta

from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, Table, func, insert, select, update

_studies: Table = models.StudyModel.__table__
_trials: Table = models.TrialModel.__table__
_values: Table = models.TrialValueModel.__table__
_FINISHED = tuple(state for state in TrialState if state.is_finished())


def take_waiting(connection: Connection, study_id: int, target: int) -> int | None:
    """Move the first WAITING trial to RUNNING; its id, or None where none waits."""
    waiting = (_trials.c.study_id == study_id, _trials.c.state == TrialState.WAITING, _trials.c.number < target)
    # Rows that another worker is about to take are passed over; SQLite, which has one writer, does not know the words.
    first = select(_trials.c.trial_id, _trials.c.datetime_start).where(*waiting).order_by(_trials.c.number).limit(1)
    first = first.with_for_update(skip_locked=True)
    while (row := connection.execute(first).one_or_none()) is not None:
        step = update(_trials).where(_trials.c.trial_id == row.trial_id, _trials.c.state == TrialState.WAITING)
        start = _start(connection, row.datetime_start)
        if connection.execute(step.values(state=TrialState.RUNNING, datetime_start=start)).rowcount == 1:
            return int(row.trial_id)
    return None


def begin_trial(connection: Connection, study_id: int, target: int) -> int | None:
    """Make the next trial, RUNNING; its id, or None where the study has `target` trials."""
    # A change that changes nothing: it holds the study's row (with SQLite the whole file) until the commit.
    ours = _studies.c.study_id == study_id
    connection.execute(update(_studies).where(ours).values(study_name=_studies.c.study_name))
    there = connection.execute(select(func.count()).where(_trials.c.study_id == study_id)).scalar_one()
    if there >= target:
        return None
    row = {"study_id": study_id, "number": there, "state": TrialState.RUNNING, "datetime_start": _start(connection)}
    key = connection.execute(insert(_trials), row).inserted_primary_key
    assert key is not None
    return int(key[0])


def return_trial(connection: Connection, seen: FrozenTrial) -> bool:
    """Move a RUNNING trial back to WAITING; False where it has moved since it was `seen`."""
    step = update(_trials).where(*_as_seen(seen), _trials.c.state == TrialState.RUNNING)
    return connection.execute(step.values(state=TrialState.WAITING)).rowcount == 1


def finish_trial(connection: Connection, taken: FrozenTrial, state: TrialState, value: float | None) -> bool:
    """End a trial, with its value where it has one; False where it is not ours any more.

    taken: as it was when we took it. Whoever was thought dead meanwhile, and comes back, ends nothing of anybody's.
    """
    ended = update(_trials).where(*_as_seen(taken), _trials.c.state == TrialState.RUNNING)
    if connection.execute(ended.values(state=state, datetime_complete=datetime.now())).rowcount != 1:
        # Ended already, if this is the second time that it was sent.
        return connection.execute(select(_trials.c.state).where(*_as_seen(taken))).scalar_one_or_none() is state
    if value is not None:
        finite = models.TrialValueModel.TrialValueType.FINITE
        row = {"trial_id": taken._trial_id, "objective": 0, "value": value, "value_type": finite}
        connection.execute(insert(_values), row)
    return True


def count_finished(connection: Connection, study_id: int, target: int) -> int:
    """Of the trials below `target`."""
    finished = (_trials.c.study_id == study_id, _trials.c.state.in_(_FINISHED), _trials.c.number < target)
    return int(connection.execute(select(func.count()).where(*finished)).scalar_one())


def _start(connection: Connection, before: datetime | None = None) -> datetime:
    """When a trial is taken, as the store will tell it; at least a second later than the time `before`, its mark.

    MySQL and MariaDB keep whole seconds; a clock may have been set back.
    """
    now = datetime.now()
    if connection.dialect.name in ("mysql", "mariadb"):
        now = now.replace(microsecond=0)
    return now if before is None else max(now, before + timedelta(seconds=1))


def _as_seen(trial: FrozenTrial) -> tuple[ColumnElement[bool], ...]:
    start = _trials.c.datetime_start.is_not_distinct_from(trial.datetime_start)
    return _trials.c.trial_id == trial._trial_id, start
