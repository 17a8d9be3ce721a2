"""Trials with given parameters: of a person, of another study, or known to be good by the study's definition.

Each is made in one transaction with what the study notes of it. An entry of the definition's `enqueue` is noted in the
trial that has it, so that no other trial has it again.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, func, select

from smart_tuner.store.attributes import Attr, StudyAttr
from smart_tuner.store.extent import count_begun, count_unfinished, of_search, stored_target, study_attribute
from smart_tuner.store.optuna_internals import (
    FIXED_PARAMS_KEY,
    STUDY_USER_ATTRIBUTES,
    TRIAL_PARAMS,
    TRIAL_SYSTEM_ATTRIBUTES,
    TRIAL_USER_ATTRIBUTES,
    TRIALS,
)
from smart_tuner.store.statements import JsonTexts, hold_study, insert_trial, write_attributes

Setting = Mapping[str, Any]


@dataclass(frozen=True)
class KnownGood:
    """entries: settings of the definition's `enqueue`; searched: the parameters of its search."""

    entries: Sequence[Setting]
    searched: Collection[str]

    def untried(self, had: Iterable[Setting]) -> list[Setting]:
        """The entries that are in none of `had`, the settings that trials were given; two equal ones are tried twice.

        What is no longer searched makes no difference.
        """
        tried = [self._searched(setting) for setting in had]
        found = []
        for entry in self.entries:
            if (setting := self._searched(entry)) in tried:
                tried.remove(setting)
            else:
                found.append(entry)
        return found

    def _searched(self, setting: Setting) -> dict[str, Any]:
        return {key: value for key, value in setting.items() if key in self.searched}


def give_entry(connection: Connection, study_id: int, trial_id: int, known: KnownGood) -> bool:
    """Give a trial, unless it has a setting, the first entry that no trial has; False where all are taken.

    Those that began before it, and have not been given theirs yet, come first.
    """
    hold_study(connection, study_id)
    had = _given(connection, study_id)
    if trial_id in had:
        return True
    if not (left := known.untried(had.values())):
        return False
    if mine := left[_beginning_before(connection, study_id, trial_id, had) :]:
        given: JsonTexts = {FIXED_PARAMS_KEY: json.dumps(mine[0])}
        write_attributes(connection, TRIAL_SYSTEM_ATTRIBUTES, {"trial_id": trial_id}, given)
    return True


def enqueue_untried(connection: Connection, study_id: int, known: KnownGood) -> tuple[list[tuple[int, Setting]], int]:
    """Make a trial that waits of each entry that no trial has: numbers, settings, and how many trials there are now."""
    hold_study(connection, study_id)
    left = known.untried(_given(connection, study_id).values())
    made = [(_insert(connection, study_id, None, entry), entry) for entry in left]
    return made, count_begun(connection, study_id)


def _given(connection: Connection, study_id: int) -> dict[int, Setting]:
    """The settings that trials of the search were given, by trial id."""
    attributes = TRIAL_SYSTEM_ATTRIBUTES.c
    texts = select(attributes.trial_id, attributes.value_json).join_from(TRIAL_SYSTEM_ATTRIBUTES, TRIALS)
    given = texts.where(
        TRIALS.c.study_id == study_id, attributes.key == FIXED_PARAMS_KEY, of_search(connection, study_id)
    )
    return {row.trial_id: json.loads(row.value_json) for row in connection.execute(given)}


def _beginning_before(connection: Connection, study_id: int, trial_id: int, had: Collection[int]) -> int:
    """How many earlier trials run that have no setting yet. had: those that were given one."""
    with_params = select(TRIAL_PARAMS.c.trial_id)
    beginning = select(func.count()).where(
        TRIALS.c.study_id == study_id,
        TRIALS.c.trial_id < trial_id,
        TRIALS.c.state == TrialState.RUNNING,
        TRIALS.c.trial_id.not_in(list(had)),
        TRIALS.c.trial_id.not_in(with_params),
        of_search(connection, study_id),
    )
    return int(connection.execute(beginning).scalar_one())


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


@dataclass(frozen=True)
class Raised:
    """target: from now on. going_on: how many unfinished trials it reaches that a lower one had left out."""

    target: int
    going_on: int = 0


def enqueue_and_raise(
    connection: Connection, study_id: int, origin: str, setting: Setting
) -> tuple[int, Raised | None]:
    """Make a trial of the setting, which the target counts: its number, and what the target was raised to, if it was.

    A target counts trials by their numbers, so that one which reaches this trial has all before it. origin: of the
    setting, in words for people.
    """
    hold_study(connection, study_id)
    before = stored_target(connection, study_id, hold=True) or 0
    left_out = count_unfinished(connection, study_id) - count_unfinished(connection, study_id, before)
    number = _insert(connection, study_id, origin, setting)
    searched = count_begun(connection, study_id)
    if searched <= before:
        return number, None
    raised: JsonTexts = {StudyAttr.TARGET: json.dumps(searched)}
    write_attributes(connection, STUDY_USER_ATTRIBUTES, {"study_id": study_id}, raised)
    return number, Raised(searched, left_out)


def _insert(connection: Connection, study_id: int, origin: str | None, setting: Setting) -> int:
    """For a caller that holds the study. origin: None: the definition."""
    trial_id, number = insert_trial(connection, study_id, TrialState.WAITING)
    ours = {"trial_id": trial_id}
    if origin is not None:
        write_attributes(connection, TRIAL_USER_ATTRIBUTES, ours, {Attr.ORIGIN: json.dumps(origin)})
    write_attributes(connection, TRIAL_SYSTEM_ATTRIBUTES, ours, {FIXED_PARAMS_KEY: json.dumps(setting)})
    return number
