"""Makes trials that wait with given parameters, in one transaction with what the study notes of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection

from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.extent import count_begun, stored_target, study_attribute
from smart_tuner.store.optuna_internals import (
    FIXED_PARAMS_KEY,
    STUDY_USER_ATTRIBUTES,
    TRIAL_SYSTEM_ATTRIBUTES,
    TRIAL_USER_ATTRIBUTES,
)
from smart_tuner.store.statements import JsonTexts, hold_study, insert_trial, write_attributes


@dataclass(frozen=True)
class SettingOfStudy:
    """study: from which the setting is; origin: the same in words for people."""

    study: str
    origin: str
    setting: dict[str, Any]


def enqueue_once(
    connection: Connection, study_id: int, studies: Sequence[str], settings: Sequence[SettingOfStudy]
) -> list[int]:
    """Make a trial of each setting, unless settings of its study were taken before; the numbers of the trials.

    studies: all that are noted as taken, also one without a setting.
    """
    hold_study(connection, study_id)
    taken: dict[str, list[int]] = study_attribute(connection, study_id, StudyAttr.WARM_START) or {}
    new: dict[str, list[int]] = {name: [] for name in studies if name not in taken}
    for each in [each for each in settings if each.study in new]:
        new[each.study].append(_insert(connection, study_id, each.origin, each.setting))
    taken |= new
    note: JsonTexts = {StudyAttr.WARM_START: json.dumps(taken)}
    write_attributes(connection, STUDY_USER_ATTRIBUTES, {"study_id": study_id}, note)
    return sorted(number for name in studies for number in taken[name])


def enqueue_and_raise(
    connection: Connection, study_id: int, origin: str, setting: Mapping[str, Any]
) -> tuple[int, int | None]:
    """Make a trial of the setting, which the target counts: its number, and what the target was raised to, if it was.

    origin: of the setting, in words for people.
    """
    hold_study(connection, study_id)
    number = _insert(connection, study_id, origin, setting)
    searched = count_begun(connection, study_id)
    if searched <= (stored_target(connection, study_id, hold=True) or 0):
        return number, None
    raised: JsonTexts = {StudyAttr.TARGET: json.dumps(searched)}
    write_attributes(connection, STUDY_USER_ATTRIBUTES, {"study_id": study_id}, raised)
    return number, searched


def _insert(connection: Connection, study_id: int, origin: str, setting: Mapping[str, Any]) -> int:
    """For a caller that holds the study."""
    trial_id, number = insert_trial(connection, study_id, TrialState.WAITING)
    ours = {"trial_id": trial_id}
    write_attributes(connection, TRIAL_USER_ATTRIBUTES, ours, {Attr.ORIGIN: json.dumps(origin)})
    write_attributes(connection, TRIAL_SYSTEM_ATTRIBUTES, ours, {FIXED_PARAMS_KEY: json.dumps(setting)})
    return number
