"""The SQL statements of a trial's steps between states, one transaction each, so that racing workers lose nothing.

Optuna's own steps read a state and then write it. On SQLite, which has no row locks, two workers can do that at once.
The start time of a trial, as stored, distinguishes its attempts. Every step may be sent twice, since a connection may
break before the answer arrives.

Optuna has no state for a trial that has paused: it is WAITING, with the attribute `Attr.PAUSED`. So for other programs
it is a trial that waits to be continued, as an interrupted one is.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import BigInteger, ColumnElement, Connection, Table, cast, delete, exists, func, insert, select, update

from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.extent import count_begun, has_searched, in_state, may_begin, replicates_in, stored_target
from smart_tuner.store.optuna_internals import (
    FINITE_VALUE,
    FIXED_PARAMS_KEY,
    INTERMEDIATE_VALUES,
    STUDIES,
    STUDY_USER_ATTRIBUTES,
    TRIAL_SYSTEM_ATTRIBUTES,
    TRIAL_USER_ATTRIBUTES,
    TRIAL_VALUES,
    TRIALS,
    from_stored_value,
    to_stored_value,
)

JsonTexts = Mapping[str, str]
_ATTEMPT = (TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.datetime_start)  # the columns of one
_PAUSED = exists().where(
    TRIAL_USER_ATTRIBUTES.c.trial_id == TRIALS.c.trial_id, TRIAL_USER_ATTRIBUTES.c.key == Attr.PAUSED
)


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
    """Move the first WAITING trial that has not paused to RUNNING; None where none waits."""
    waiting = (*in_state(connection, study_id, target, TrialState.WAITING), ~_PAUSED)
    # SKIP LOCKED passes over rows that another worker is taking. SQLite has one writer, and ignores it.
    first = select(*_ATTEMPT).where(*waiting).order_by(TRIALS.c.number).limit(1).with_for_update(skip_locked=True)
    while (row := connection.execute(first).one_or_none()) is not None:
        step = update(TRIALS).where(TRIALS.c.trial_id == row.trial_id, TRIALS.c.state == TrialState.WAITING)
        start = _start(connection, row.datetime_start)
        if connection.execute(step.values(state=TrialState.RUNNING, datetime_start=start)).rowcount == 1:
            return Attempt(row.trial_id, row.number, start)
    return None


def has_next(connection: Connection, study_id: int, target: int) -> bool:
    """Whether a trial waits that has not paused, or one may begin."""
    waiting = select(TRIALS.c.trial_id).where(*in_state(connection, study_id, target, TrialState.WAITING), ~_PAUSED)
    return may_begin(connection, study_id, target) or connection.execute(waiting.limit(1)).first() is not None


def hold_study(connection: Connection, study_id: int) -> None:
    """Lock the study until the commit, by an update that changes nothing. On SQLite it locks the whole file."""
    ours = STUDIES.c.study_id == study_id
    connection.execute(update(STUDIES).where(ours).values(study_name=STUDIES.c.study_name))


@dataclass(frozen=True)
class Settling:
    """target: from now on. is_lowered: whether it was lowered here."""

    target: int
    is_lowered: bool


def settle(connection: Connection, study_id: int, target: int, why: str) -> Settling:
    """Lower the target to the trials that have begun, unless it is another one by now."""
    hold_study(connection, study_id)
    stored = stored_target(connection, study_id, hold=True)  # `optimize` writes it without holding the study
    begun = count_begun(connection, study_id)
    if stored != target or begun >= target:
        return Settling(target if stored is None else stored, is_lowered=False)
    settled = {"asked": target, "trials": begun, "why": why}
    texts: dict[str, str] = {StudyAttr.TARGET: json.dumps(begun), StudyAttr.SETTLED: json.dumps(settled)}
    write_attributes(connection, STUDY_USER_ATTRIBUTES, {"study_id": study_id}, texts)
    return Settling(begun, is_lowered=True)


def begin_trial(connection: Connection, study_id: int, target: int) -> Attempt | None:
    """Make the next trial, RUNNING; None where the study has `target` trials."""
    hold_study(connection, study_id)
    return _insert_running(connection, study_id) if may_begin(connection, study_id, target) else None


def _insert_running(connection: Connection, study_id: int) -> Attempt:
    """For a caller that holds the study."""
    start = _start(connection)
    return Attempt(*insert_trial(connection, study_id, TrialState.RUNNING, start), start)


def insert_trial(
    connection: Connection, study_id: int, state: TrialState, start: datetime | None = None
) -> tuple[int, int]:
    """For a caller that holds the study: id and number of a new trial. Its number is that of the trials before it."""
    there = select(func.count()).select_from(TRIALS).where(TRIALS.c.study_id == study_id)
    number = int(connection.execute(there).scalar_one())
    row = {"study_id": study_id, "number": number, "state": state, "datetime_start": start}
    key = connection.execute(insert(TRIALS), row).inserted_primary_key
    assert key is not None
    return int(key[0]), number


@dataclass(frozen=True)
class Replicate:
    """original: the number of the trial whose setting it has, `params`. seeds: how many replicates that is to have."""

    original: int
    params: Mapping[str, Any]
    seeds: int


def begin_replicate(connection: Connection, study_id: int, target: int, wanted: Replicate) -> Attempt | None:
    """Make a replicate, RUNNING; None where the search goes on, or the original has its replicates."""
    hold_study(connection, study_id)
    replicates = replicates_in(connection, study_id)
    begun = sum(original == wanted.original for original in replicates.values())
    if begun >= wanted.seeds or not has_searched(connection, study_id, target):
        return None
    attempt = _insert_running(connection, study_id)
    texts: dict[str, str] = {StudyAttr.REPLICATES: json.dumps({**replicates, attempt.number: wanted.original})}
    write_attributes(connection, STUDY_USER_ATTRIBUTES, {"study_id": study_id}, texts)
    user: dict[str, str] = {
        Attr.REPLICATE_OF: json.dumps(wanted.original),
        Attr.ORIGIN: json.dumps(f"trial {wanted.original}, with another seed"),
    }
    _write_last(connection, attempt, Texts(user, {FIXED_PARAMS_KEY: json.dumps(wanted.params)}))
    return attempt


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
        _write_value(connection, attempt, value)
    _write_last(connection, attempt, last)
    return True


def _write_value(connection: Connection, attempt: Attempt, value: float) -> None:
    row = {"trial_id": attempt.trial_id, "objective": 0, "value": value, "value_type": FINITE_VALUE}
    connection.execute(insert(TRIAL_VALUES), row)


def _write_last(connection: Connection, attempt: Attempt, last: Texts) -> None:
    for table, texts in ((TRIAL_USER_ATTRIBUTES, last.user), (TRIAL_SYSTEM_ATTRIBUTES, last.system)):
        if texts:
            write_attributes(connection, table, {"trial_id": attempt.trial_id}, texts)


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


def pause_trial(connection: Connection, attempt: Attempt, last: Texts) -> bool:
    """Let a RUNNING trial pause, with its attributes, of which one is `Attr.PAUSED`; False where it is no longer ours.

    It keeps its start, until it is continued.
    """
    assert Attr.PAUSED in last.user
    paused = update(TRIALS).where(*attempt.rows(), TRIALS.c.state == TrialState.RUNNING)
    if connection.execute(paused.values(state=TrialState.WAITING)).rowcount != 1:
        # Where this is sent for the second time, it has paused already.
        return connection.execute(select(TRIALS.c.state).where(*_is_paused(attempt))).first() is not None
    _write_last(connection, attempt, last)
    return True


def _is_paused(attempt: Attempt) -> tuple[ColumnElement[bool], ...]:
    return *attempt.rows(), TRIALS.c.state == TrialState.WAITING, _PAUSED


def paused_attempts(connection: Connection, study_id: int, target: int) -> list[Attempt]:
    """The trials that have paused, by their last attempts."""
    paused = (*in_state(connection, study_id, target, TrialState.WAITING), _PAUSED)
    rows = connection.execute(select(*_ATTEMPT).where(*paused).order_by(TRIALS.c.number))
    return [Attempt(*row) for row in rows]


def all_paused(connection: Connection, study_id: int) -> list[Attempt]:
    """As `paused_attempts`, also those beyond the target."""
    paused = (TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.WAITING, _PAUSED)
    return [Attempt(*row) for row in connection.execute(select(*_ATTEMPT).where(*paused).order_by(TRIALS.c.number))]


def take_paused(connection: Connection, paused: Attempt) -> Attempt | None:
    """Move a paused trial to RUNNING, and note where it was promoted; None where it no longer waits there."""
    start = _start(connection, paused.start)
    step = update(TRIALS).where(*_is_paused(paused)).values(state=TrialState.RUNNING, datetime_start=start)
    if connection.execute(step).rowcount != 1:
        return None
    known = _user_attributes(connection, paused, Attr.PAUSED, Attr.PROMOTED)
    promoted = [*known.get(Attr.PROMOTED, []), known[Attr.PAUSED]["index"]]
    ours = {"trial_id": paused.trial_id}
    write_attributes(connection, TRIAL_USER_ATTRIBUTES, ours, {Attr.PROMOTED: json.dumps(promoted)})
    _drop_attributes(connection, paused.trial_id, Attr.PAUSED)
    return Attempt(paused.trial_id, paused.number, start)


def is_idle(connection: Connection, study_id: int, target: int, *, hold: bool = False) -> bool:
    """Whether the study has all its trials, and none of them runs, or waits without having paused.

    hold: and nobody has asked for more, or does so until the commit.
    """
    if hold:
        hold_study(connection, study_id)
        if (stored_target(connection, study_id, hold=True) or target) > target:
            return False
    if may_begin(connection, study_id, target):
        return False
    busy = select(TRIALS.c.trial_id).where(
        *in_state(connection, study_id, target, TrialState.RUNNING, TrialState.WAITING),
        (TRIALS.c.state == TrialState.RUNNING) | ~_PAUSED,
    )
    return connection.execute(busy.limit(1)).first() is None


def prune_paused(connection: Connection, paused: Attempt, user: Callable[[str], JsonTexts]) -> bool:
    """End a paused trial as PRUNED, with the value of its last report; False where it no longer waits there.

    user: its final attributes, by the reason for which it had paused. It keeps `Attr.PAUSED`. Where another worker ends
    the same trial for the same reason at the same moment, both have ended it.
    """
    step = update(TRIALS).where(*_is_paused(paused))
    if connection.execute(step.values(state=TrialState.PRUNED, datetime_complete=_now(connection))).rowcount != 1:
        return _was_pruned(connection, paused, user)
    if (value := _last_value(connection, paused)) is not None:
        _write_value(connection, paused, value)
    write_attributes(
        connection, TRIAL_USER_ATTRIBUTES, {"trial_id": paused.trial_id}, user(_why_paused(connection, paused))
    )
    return True


def _was_pruned(connection: Connection, paused: Attempt, user: Callable[[str], JsonTexts]) -> bool:
    """Whether the trial was ended there with these attributes: `prune_paused` is sent for the second time."""
    pruned = select(TRIALS.c.trial_id).where(*paused.rows(), TRIALS.c.state == TrialState.PRUNED, _PAUSED)
    if connection.execute(pruned).first() is None:
        return False
    ours = user(_why_paused(connection, paused))
    return _user_attributes(connection, paused, *ours) == {key: json.loads(text) for key, text in ours.items()}


def _why_paused(connection: Connection, paused: Attempt) -> str:
    return str(_user_attributes(connection, paused, Attr.PAUSED)[Attr.PAUSED]["reason"])


def revive_paused(connection: Connection, trial_ids: Sequence[int]) -> int:
    """Let PRUNED trials that had paused wait there again; the number of those that do. Undoes `prune_paused`."""
    revived = 0
    for trial_id in trial_ids:
        step = update(TRIALS).where(TRIALS.c.trial_id == trial_id, TRIALS.c.state == TrialState.PRUNED, _PAUSED)
        if connection.execute(step.values(state=TrialState.WAITING, datetime_complete=None)).rowcount == 1:
            connection.execute(delete(TRIAL_VALUES).where(TRIAL_VALUES.c.trial_id == trial_id))
            _drop_attributes(connection, trial_id, Attr.CAUSE, Attr.REASON)
            revived += 1
    return revived


def _user_attributes(connection: Connection, attempt: Attempt, *keys: str) -> dict[str, Any]:
    attributes = TRIAL_USER_ATTRIBUTES.c
    wanted = select(attributes.key, attributes.value_json).where(
        attributes.trial_id == attempt.trial_id, attributes.key.in_(keys)
    )
    return {row.key: json.loads(row.value_json) for row in connection.execute(wanted)}


def _drop_attributes(connection: Connection, trial_id: int, *keys: str) -> None:
    attributes = TRIAL_USER_ATTRIBUTES.c
    ours = (attributes.trial_id == trial_id, attributes.key.in_(keys))
    connection.execute(delete(TRIAL_USER_ATTRIBUTES).where(*ours))


def _last_value(connection: Connection, attempt: Attempt) -> float | None:
    """The last intermediate value, which Optuna's `tell` gives a pruned trial."""
    values = INTERMEDIATE_VALUES.c
    reports = select(values.intermediate_value, values.intermediate_value_type)
    last = reports.where(values.trial_id == attempt.trial_id).order_by(values.step.desc()).limit(1)
    row = connection.execute(last).first()
    return None if row is None else from_stored_value(row.intermediate_value, row.intermediate_value_type)


def is_current(connection: Connection, attempt: Attempt) -> bool:
    """Whether the trial is RUNNING and has not been taken again since this attempt."""
    running = select(TRIALS.c.trial_id).where(*attempt.rows(), TRIALS.c.state == TrialState.RUNNING)
    return connection.execute(running).one_or_none() is not None


def running_attempts(connection: Connection, study_id: int, target: int) -> dict[Attempt, Mapping[str, Any] | None]:
    """The RUNNING trials of all workers, by number, each with the owner that is stored with it, if any."""
    is_owner = (TRIAL_USER_ATTRIBUTES.c.trial_id == TRIALS.c.trial_id) & (TRIAL_USER_ATTRIBUTES.c.key == Attr.OWNER)
    columns = (*_ATTEMPT, TRIAL_USER_ATTRIBUTES.c.value_json)
    rows = select(*columns).select_from(TRIALS.outerjoin(TRIAL_USER_ATTRIBUTES, is_owner)).order_by(TRIALS.c.number)
    running = connection.execute(rows.where(*in_state(connection, study_id, target, TrialState.RUNNING)))
    return {Attempt(*attempt): json.loads(owner) if owner else None for *attempt, owner in running}


def frames_trained(connection: Connection, study_id: int) -> int:
    """How many frames all trials of the study have trained, as far as they are stored: at each report and stop."""
    frames = func.sum(cast(TRIAL_USER_ATTRIBUTES.c.value_json, BigInteger))
    of_trials = select(frames).join_from(TRIAL_USER_ATTRIBUTES, TRIALS)
    ours = of_trials.where(TRIALS.c.study_id == study_id, TRIAL_USER_ATTRIBUTES.c.key == Attr.FRAMES)
    return int(connection.execute(ours).scalar_one() or 0)


def _now(connection: Connection) -> datetime:
    """UTC without a zone, as Optuna writes it, and rounded as the store does: MySQL and MariaDB keep whole seconds."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=0) if connection.dialect.name in ("mysql", "mariadb") else now


def _start(connection: Connection, before: datetime | None = None) -> datetime:
    """Now, but at least a second after the previous attempt, even where the clock was set back."""
    now = _now(connection)
    return now if before is None else max(now, before + timedelta(seconds=1))
