"""Steps of trials between states, each one transaction, so that workers that race lose nothing and double nothing.

Optuna's own steps read a state and then write it, which on SQLite, without row locks, two can do at once. The start of
a trial, as the store keeps it, tells one attempt of it from the next. Every step may be sent again where the connection
broke before its answer came.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import ColumnElement, Connection, Table, func, insert, select, update

_studies: Table = models.StudyModel.__table__
_trials: Table = models.TrialModel.__table__
_values: Table = models.TrialValueModel.__table__
_losses: Table = models.TrialIntermediateValueModel.__table__
_attributes: Table = models.TrialUserAttributeModel.__table__
_system_attributes: Table = models.TrialSystemAttributeModel.__table__
JsonTexts = Mapping[str, str]
_FINISHED = tuple(state for state in TrialState if state.is_finished())


@dataclass(frozen=True)
class Texts:
    """Attributes as the store keeps them. system: Optuna's own, such as constraints and artifacts."""

    user: JsonTexts
    system: JsonTexts


@dataclass(frozen=True)
class Attempt:
    """One attempt of a trial by a worker. start: as the store keeps it, UTC without a zone."""

    trial_id: int
    number: int
    start: datetime

    def rows(self) -> tuple[ColumnElement[bool], ...]:
        """Its row, as long as nobody has taken the trial again."""
        return _trials.c.trial_id == self.trial_id, _trials.c.datetime_start == self.start


def take_waiting(connection: Connection, study_id: int, target: int) -> Attempt | None:
    """Move the first WAITING trial to RUNNING; None where none waits."""
    waiting = (_trials.c.study_id == study_id, _trials.c.state == TrialState.WAITING, _trials.c.number < target)
    # Rows that another worker is about to take are passed over; SQLite, which has one writer, does not know the words.
    columns = (_trials.c.trial_id, _trials.c.number, _trials.c.datetime_start)
    first = select(*columns).where(*waiting).order_by(_trials.c.number).limit(1).with_for_update(skip_locked=True)
    while (row := connection.execute(first).one_or_none()) is not None:
        step = update(_trials).where(_trials.c.trial_id == row.trial_id, _trials.c.state == TrialState.WAITING)
        start = _start(connection, row.datetime_start)
        if connection.execute(step.values(state=TrialState.RUNNING, datetime_start=start)).rowcount == 1:
            return Attempt(row.trial_id, row.number, start)
    return None


def hold_study(connection: Connection, study_id: int) -> None:
    """Keep others who hold it waiting until the commit, by a change that changes nothing (with SQLite of any row)."""
    ours = _studies.c.study_id == study_id
    connection.execute(update(_studies).where(ours).values(study_name=_studies.c.study_name))


def begin_trial(connection: Connection, study_id: int, target: int) -> Attempt | None:
    """Make the next trial, RUNNING; None where the study has `target` trials."""
    hold_study(connection, study_id)
    there = connection.execute(select(func.count()).where(_trials.c.study_id == study_id)).scalar_one()
    if there >= target:
        return None
    start = _start(connection)
    row = {"study_id": study_id, "number": there, "state": TrialState.RUNNING, "datetime_start": start}
    key = connection.execute(insert(_trials), row).inserted_primary_key
    assert key is not None
    return Attempt(int(key[0]), there, start)


def return_trial(connection: Connection, attempt: Attempt) -> bool:
    """Move a RUNNING trial back to WAITING; False where it has moved since."""
    step = update(_trials).where(*attempt.rows(), _trials.c.state == TrialState.RUNNING)
    return connection.execute(step.values(state=TrialState.WAITING)).rowcount == 1


def finish_trial(connection: Connection, attempt: Attempt, state: TrialState, value: float | None, last: Texts) -> bool:
    """End a trial, with its value where it has one, and its last attributes; False where it is not ours any more.

    Whoever was thought dead meanwhile, and comes back, ends nothing of anybody's. A reader never sees a trial that is
    finished and lacks its attributes, nor do they cost a transaction each.
    """
    ended = update(_trials).where(*attempt.rows(), _trials.c.state == TrialState.RUNNING)
    if connection.execute(ended.values(state=state, datetime_complete=_now(connection))).rowcount != 1:
        # Ended already, if this is the second time that it was sent.
        return connection.execute(select(_trials.c.state).where(*attempt.rows())).scalar_one_or_none() is state
    if value is not None:
        finite = models.TrialValueModel.TrialValueType.FINITE
        row = {"trial_id": attempt.trial_id, "objective": 0, "value": value, "value_type": finite}
        connection.execute(insert(_values), row)
    for table, texts in ((_attributes, last.user), (_system_attributes, last.system)):
        if texts:
            write_attributes(connection, table, {"trial_id": attempt.trial_id}, texts)
    return True


def report_trial(
    connection: Connection, attempt: Attempt, index: int, loss: float | None, attributes: JsonTexts
) -> bool:
    """Write a report: the loss where it is finite and new, and user attributes; False where the trial is not ours.

    In one transaction, where Optuna's `report` and `set_user_attr` need two and three times the statements.
    """
    if not is_current(connection, attempt):
        return False
    ours = _losses.c.trial_id == attempt.trial_id
    if (
        loss is not None
        and connection.execute(select(_losses.c.step).where(ours, _losses.c.step == index)).first() is None
    ):
        value, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(loss)
        row = {
            "trial_id": attempt.trial_id,
            "step": index,
            "intermediate_value": value,
            "intermediate_value_type": kind,
        }
        connection.execute(insert(_losses), row)
    write_attributes(connection, _attributes, {"trial_id": attempt.trial_id}, attributes)
    return True


def write_attributes(connection: Connection, table: Table, owner: Mapping[str, int], texts: JsonTexts) -> None:
    """Set attributes of a trial or a study, those that are new in one statement. owner: its column and its id."""
    ours = [table.c[column] == key for column, key in owner.items()]
    there = set(connection.execute(select(table.c.key).where(*ours, table.c.key.in_(list(texts)))).scalars())
    for key in there:
        connection.execute(update(table).where(*ours, table.c.key == key).values(value_json=texts[key]))
    new = [{**owner, "key": key, "value_json": text} for key, text in texts.items() if key not in there]
    if new:
        connection.execute(insert(table), new)


def is_current(connection: Connection, attempt: Attempt) -> bool:
    """Whether this attempt is still the last one, and the trial RUNNING."""
    running = select(_trials.c.trial_id).where(*attempt.rows(), _trials.c.state == TrialState.RUNNING)
    return connection.execute(running).one_or_none() is not None


def running_attempts(connection: Connection, study_id: int, target: int) -> list[Attempt]:
    """The RUNNING trials, whoever has taken them."""
    columns = (_trials.c.trial_id, _trials.c.number, _trials.c.datetime_start)
    running = (_trials.c.study_id == study_id, _trials.c.state == TrialState.RUNNING, _trials.c.number < target)
    rows = connection.execute(select(*columns).where(*running).order_by(_trials.c.number))
    return [Attempt(row.trial_id, row.number, row.datetime_start) for row in rows]


def count_finished(connection: Connection, study_id: int, target: int) -> int:
    """Of the trials below `target`."""
    finished = (_trials.c.study_id == study_id, _trials.c.state.in_(_FINISHED), _trials.c.number < target)
    return int(connection.execute(select(func.count()).where(*finished)).scalar_one())


def _now(connection: Connection) -> datetime:
    """As Optuna writes it, UTC without a zone, and as the store will tell it: MySQL and MariaDB keep whole seconds."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=0) if connection.dialect.name in ("mysql", "mariadb") else now


def _start(connection: Connection, before: datetime | None = None) -> datetime:
    """Now, but a second later at least than the attempt before, whatever the clocks say."""
    now = _now(connection)
    return now if before is None else max(now, before + timedelta(seconds=1))
