"""Makes trials that wait with given parameters, in one transaction with the note that they were made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, func, insert, select

from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.optuna_internals import (
    FIXED_PARAMS_KEY,
    STUDY_USER_ATTRIBUTES,
    TRIAL_SYSTEM_ATTRIBUTES,
    TRIAL_USER_ATTRIBUTES,
    TRIALS,
)
from smart_tuner.store.statements import JsonTexts, hold_study, write_attributes


@dataclass(frozen=True)
class Enqueued:
    """study: from which the setting is; origin: the same in words for people."""

    study: str
    origin: str
    setting: dict[str, Any]


def enqueue_once(
    connection: Connection, study_id: int, studies: Sequence[str], settings: Sequence[Enqueued]
) -> list[int]:
    """Make a trial of each setting, unless settings of its study were taken before; the numbers of the trials.

    studies: all that are noted as taken, also one without a setting.
    """
    hold_study(connection, study_id)
    taken = _taken(connection, study_id)
    new: dict[str, list[int]] = {name: [] for name in studies if name not in taken}
    there = connection.execute(select(func.count()).where(TRIALS.c.study_id == study_id)).scalar_one()
    for number, each in enumerate([each for each in settings if each.study in new], there):
        _insert(connection, study_id, number, each)
        new[each.study].append(number)
    taken |= new
    note: JsonTexts = {StudyAttr.WARM_START: json.dumps(taken)}
    write_attributes(connection, STUDY_USER_ATTRIBUTES, {"study_id": study_id}, note)
    return sorted(number for name in studies for number in taken[name])


def _taken(connection: Connection, study_id: int) -> dict[str, list[int]]:
    attributes = STUDY_USER_ATTRIBUTES.c
    note = select(attributes.value_json).where(attributes.study_id == study_id, attributes.key == StudyAttr.WARM_START)
    text = connection.execute(note).scalar_one_or_none()
    return {} if text is None else dict(json.loads(text))


def _insert(connection: Connection, study_id: int, number: int, each: Enqueued) -> None:
    row = {"study_id": study_id, "number": number, "state": TrialState.WAITING}
    key = connection.execute(insert(TRIALS), row).inserted_primary_key
    assert key is not None
    ours = {"trial_id": int(key[0])}
    write_attributes(connection, TRIAL_USER_ATTRIBUTES, ours, {Attr.ORIGIN: json.dumps(each.origin)})
    write_attributes(connection, TRIAL_SYSTEM_ATTRIBUTES, ours, {FIXED_PARAMS_KEY: json.dumps(each.setting)})
