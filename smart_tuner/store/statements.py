"""The SQL statements of a trial's steps between states, one transaction each, so that racing workers lose nothing.

Optuna's own steps read a state and then write it. On SQLite, which has no row locks, two workers can do that at once.
The start time of a trial, as stored, distinguishes its attempts. Every step may be sent twice, since a connection may
break before the answer arrives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from optuna.trial import TrialState
from sqlalchemy import ColumnElement, Connection, Table, func, insert, select, update

from smart_tuner.store.optuna_internals import (
    FINITE_VALUE,
    INTERMEDIATE_VALUES,
    STUDIES,
    TRIAL_SYSTEM_ATTRIBUTES,
    TRIAL_USER_ATTRIBUTES,
    TRIAL_VALUES,
    TRIALS,
    to_stored_value,
)

JsonTexts = Mapping[str, str]
_FINISHED = tuple(state for state in TrialState if state.is_finished())


@dataclass(frozen=True)
class Texts:
    """Attributes as JSON. system: Optuna's own, such as constraints and artifacts."""

    user: JsonTexts
    system: JsonTexts


@dataclass(frozen=True)
class Attempt:
    """One attempt of a trial by a worker. start: as the store keeps it, UTC without a zone."""

    trial_id: int
    number: int
    start: datetime

    def rows(self) -> tuple[ColumnElement[bool], ...]:
        """The conditions for its row. No row meets them once the trial has been taken again."""
        return TRIALS.c.trial_id == self.trial_id, TRIALS.c.datetime_start == self.start


def take_waiting(connection: Connection, study_id: int, target: int) -> Attempt | None:
    """Move the first WAITING trial to RUNNING; None where none waits."""
    waiting = (TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.WAITING, TRIALS.c.number < target)
    # SKIP LOCKED passes over rows that another worker is taking. SQLite has one writer, and ignores it.
    columns = (TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.datetime_start)
    first = select(*columns).where(*waiting).order_by(TRIALS.c.number).limit(1).with_for_update(skip_locked=True)
    while (row := connection.execute(first).one_or_none()) is not None:
        step = update(TRIALS).where(TRIALS.c.trial_id == row.trial_id, TRIALS.c.state == TrialState.WAITING)
        start = _start(connection, row.datetime_start)
        if connection.execute(step.values(state=TrialState.RUNNING, datetime_start=start)).rowcount == 1:
            return Attempt(row.trial_id, row.number, start)
    return None


def hold_study(connection: Connection, study_id: int) -> None:
    """Lock the study until the commit, by an update that changes nothing. On SQLite it locks the whole file."""
    ours = STUDIES.c.study_id == study_id
    connection.execute(update(STUDIES).where(ours).values(study_name=STUDIES.c.study_name))


def begin_trial(connection: Connection, study_id: int, target: int) -> Attempt | None:
    """Make the next trial, RUNNING; None where the study has `target` trials."""
    hold_study(connection, study_id)
    there = connection.execute(select(func.count()).where(TRIALS.c.study_id == study_id)).scalar_one()
    if there >= target:
        return None
    start = _start(connection)
    row = {"study_id": study_id, "number": there, "state": TrialState.RUNNING, "datetime_start": start}
    key = connection.execute(insert(TRIALS), row).inserted_primary_key
    assert key is not None
    return Attempt(int(key[0]), there, start)


def return_trial(connection: Connection, attempt: Attempt) -> bool:
    """Move a RUNNING trial back to WAITING; False where it has moved since."""
    step = update(TRIALS).where(*attempt.rows(), TRIALS.c.state == TrialState.RUNNING)
    return connection.execute(step.values(state=TrialState.WAITING)).rowcount == 1


def finish_trial(connection: Connection, attempt: Attempt, state: TrialState, value: float | None, last: Texts) -> bool:
    """Finish a trial with its value, if any, and its final attributes; False where it is no longer ours.

    So a worker that was taken for dead cannot finish a trial that another worker has now. All is one transaction: no
    reader sees a finished trial without its attributes.
    """
    ended = update(TRIALS).where(*attempt.rows(), TRIALS.c.state == TrialState.RUNNING)
    if connection.execute(ended.values(state=state, datetime_complete=_now(connection))).rowcount != 1:
        # Where this is sent for the second time, the trial has this state already.
        return connection.execute(select(TRIALS.c.state).where(*attempt.rows())).scalar_one_or_none() is state
    if value is not None:
        finite = FINITE_VALUE
        row = {"trial_id": attempt.trial_id, "objective": 0, "value": value, "value_type": finite}
        connection.execute(insert(TRIAL_VALUES), row)
    for table, texts in ((TRIAL_USER_ATTRIBUTES, last.user), (TRIAL_SYSTEM_ATTRIBUTES, last.system)):
        if texts:
            write_attributes(connection, table, {"trial_id": attempt.trial_id}, texts)
    return True


def report_trial(
    connection: Connection, attempt: Attempt, index: int, value: float | None, attributes: JsonTexts
) -> bool:
    """Write a report: the value, unless there is one, and user attributes; False where the trial is no longer ours.

    One transaction. Optuna's `report` and `set_user_attr` need two, and three times the statements.
    """
    if not is_current(connection, attempt):
        return False
    if value is not None and not _has_value(connection, attempt, index):
        stored, kind = to_stored_value(value)
        row = {
            "trial_id": attempt.trial_id,
            "step": index,
            "intermediate_value": stored,
            "intermediate_value_type": kind,
        }
        connection.execute(insert(INTERMEDIATE_VALUES), row)
    write_attributes(connection, TRIAL_USER_ATTRIBUTES, {"trial_id": attempt.trial_id}, attributes)
    return True


def _has_value(connection: Connection, attempt: Attempt, index: int) -> bool:
    values = INTERMEDIATE_VALUES.c
    report = select(values.step).where(values.trial_id == attempt.trial_id, values.step == index)
    return connection.execute(report).first() is not None


def write_attributes(connection: Connection, table: Table, owner: Mapping[str, int], texts: JsonTexts) -> None:
    """Set attributes of a trial or a study. One statement inserts all new ones. owner: the column of its id, its id."""
    ours = [table.c[column] == key for column, key in owner.items()]
    there = set(connection.execute(select(table.c.key).where(*ours, table.c.key.in_(list(texts)))).scalars())
    for key in there:
        connection.execute(update(table).where(*ours, table.c.key == key).values(value_json=texts[key]))
    new = [{**owner, "key": key, "value_json": text} for key, text in texts.items() if key not in there]
    if new:
        connection.execute(insert(table), new)


def is_current(connection: Connection, attempt: Attempt) -> bool:
    """Whether the trial is RUNNING and has not been taken again since this attempt."""
    running = select(TRIALS.c.trial_id).where(*attempt.rows(), TRIALS.c.state == TrialState.RUNNING)
    return connection.execute(running).one_or_none() is not None


def running_attempts(connection: Connection, study_id: int, target: int) -> list[Attempt]:
    """The RUNNING trials, of all workers."""
    columns = (TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.datetime_start)
    running = (TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.RUNNING, TRIALS.c.number < target)
    rows = connection.execute(select(*columns).where(*running).order_by(TRIALS.c.number))
    return [Attempt(row.trial_id, row.number, row.datetime_start) for row in rows]


def count_finished(connection: Connection, study_id: int, target: int) -> int:
    """How many of the trials below `target` are finished."""
    finished = (TRIALS.c.study_id == study_id, TRIALS.c.state.in_(_FINISHED), TRIALS.c.number < target)
    return int(connection.execute(select(func.count()).where(*finished)).scalar_one())


def _now(connection: Connection) -> datetime:
    """UTC without a zone, as Optuna writes it, and rounded as the store does: MySQL and MariaDB keep whole seconds."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=0) if connection.dialect.name in ("mysql", "mariadb") else now


def _start(connection: Connection, before: datetime | None = None) -> datetime:
    """Now, but at least a second after the previous attempt, even where the clock was set back."""
    now = _now(connection)
    return now if before is None else max(now, before + timedelta(seconds=1))
