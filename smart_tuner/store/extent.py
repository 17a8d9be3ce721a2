"""Which trials of a study count, by SQL: those of its search up to the target, and all replicates.

A target that was lowered leaves out the trials of the search beyond it. Replicates have numbers as all trials have, so
that those of the search have gaps once a study with replicates is given more trials.
"""

import json
from collections.abc import Mapping
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import ColumnElement, Connection, func, select

from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.optuna_internals import STUDY_USER_ATTRIBUTES, TRIALS

_FINISHED = tuple(state for state in TrialState if state.is_finished())
_UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)


def replicates_in(connection: Connection, study_id: int) -> Mapping[int, int]:
    """Number of each replicate -> number of its original."""
    stored: Mapping[str, int] = study_attribute(connection, study_id, StudyAttr.REPLICATES) or {}
    return {int(number): original for number, original in stored.items()}


def stored_target(connection: Connection, study_id: int, *, hold: bool = False) -> int | None:
    """What people have asked for, or a worker that found it settled; None where the study was never submitted.

    hold: nobody else changes it until the commit.
    """
    target = study_attribute(connection, study_id, StudyAttr.TARGET, hold=hold)
    return None if target is None else int(target)


def study_attribute(connection: Connection, study_id: int, key: str, *, hold: bool = False) -> Any:
    """A user attribute of the study; None where it has none. hold: as of `stored_target`."""
    attributes = STUDY_USER_ATTRIBUTES.c
    value = select(attributes.value_json).where(attributes.study_id == study_id, attributes.key == key)
    stored = connection.execute(value.with_for_update() if hold else value).scalar_one_or_none()
    return None if stored is None else json.loads(stored)


def in_state(
    connection: Connection, study_id: int, target: int, *states: TrialState
) -> tuple[ColumnElement[bool], ...]:
    """The conditions for the rows of trials that count."""
    replicates = replicates_in(connection, study_id)
    counts = (TRIALS.c.number < _end(replicates, target)) | TRIALS.c.number.in_(list(replicates))
    return TRIALS.c.study_id == study_id, TRIALS.c.state.in_(states), counts


def _end(replicates: Mapping[int, int], target: int) -> int:
    """The number from which on all trials of the search are beyond the target."""
    end = target
    for number in sorted(replicates):
        if number > end:
            break
        end += 1
    return end


def of_search(connection: Connection, study_id: int) -> ColumnElement[bool]:
    """The condition for the row of a trial that is no replicate."""
    return TRIALS.c.number.not_in(list(replicates_in(connection, study_id)))


def count_begun(connection: Connection, study_id: int) -> int:
    """How many trials the search has, in any state, also beyond the target."""
    return _count(connection, TRIALS.c.study_id == study_id, of_search(connection, study_id))


def may_begin(connection: Connection, study_id: int, target: int) -> bool:
    """Whether the search has fewer than `target` trials, also after another worker has found that it has settled."""
    return count_begun(connection, study_id) < min(target, stored_target(connection, study_id) or target)


def has_searched(connection: Connection, study_id: int, target: int) -> bool:
    """Whether the search has all its trials, and each of them has finished."""
    return not may_begin(connection, study_id, target) and not count_unfinished(connection, study_id, target)


def count_unfinished(connection: Connection, study_id: int, target: int | None = None) -> int:
    """How many of the first `target` trials of the search wait or run; None: of all."""
    if target is None:
        target = count_begun(connection, study_id)
    return _count(connection, *in_state(connection, study_id, target, *_UNFINISHED), of_search(connection, study_id))


def count_finished(connection: Connection, study_id: int, target: int) -> int:
    """How many of the first `target` trials of the search are finished."""
    finished = in_state(connection, study_id, target, *_FINISHED)
    return _count(connection, *finished, of_search(connection, study_id))


def count_unfinished_replicates(connection: Connection, study_id: int, target: int) -> int:
    """Of those that have begun."""
    if not replicates_in(connection, study_id):
        return 0
    unfinished = in_state(connection, study_id, target, *_UNFINISHED)
    return _count(connection, *unfinished, ~of_search(connection, study_id))


def count_left(connection: Connection, study_id: int, target: int) -> int:
    """How many trials of the search, and of the replicates that have begun, have not finished."""
    unfinished = count_unfinished_replicates(connection, study_id, target)
    return target - count_finished(connection, study_id, target) + unfinished


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(TRIALS).where(*conditions)).scalar_one())
