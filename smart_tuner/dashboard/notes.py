"""Writes notes in optuna-dashboard's format: system attributes of the study, cut into pieces.

Does what `optuna_dashboard.save_note` does (optuna_dashboard/_note.py of 0.21), in one transaction and without
importing the dashboard. One difference: our notes always have version 1. A note that a person edits in the dashboard
gets version 2 or above, and is not written any more from then on.
"""

import json

from sqlalchemy import Connection, select

from smart_tuner.store.optuna_internals import STUDY_SYSTEM_ATTRIBUTES
from smart_tuner.store.statements import hold_study, write_attributes

_PIECE = 2045  # characters, as the dashboard cuts them
_MOST_PIECES = 10  # of a note of ours; a longer one is cut
_OUR_VERSION = 1


def write_note(connection: Connection, study_id: int, trial_id: int | None, body: str) -> bool:
    """Write the note of a trial, or of the study (None); False if a person has edited it."""
    hold_study(connection, study_id)
    version, piece = version_key(trial_id), f"{_owner(trial_id)}:note_str:"
    ours = (STUDY_SYSTEM_ATTRIBUTES.c.study_id == study_id, STUDY_SYSTEM_ATTRIBUTES.c.key.in_([version, *_keys(piece)]))
    rows = connection.execute(select(STUDY_SYSTEM_ATTRIBUTES.c.key, STUDY_SYSTEM_ATTRIBUTES.c.value_json).where(*ours))
    there = {row.key: json.loads(row.value_json) for row in rows}
    if there.get(version, _OUR_VERSION) > _OUR_VERSION:
        return False
    pieces = {key: body[i * _PIECE : (i + 1) * _PIECE] for i, key in enumerate(_keys(piece)) if body[i * _PIECE :]}
    wanted = {version: _OUR_VERSION} | {key: "" for key in there if key != version} | pieces
    changed = {key: json.dumps(value) for key, value in wanted.items() if there.get(key) != value}
    if changed:
        write_attributes(connection, STUDY_SYSTEM_ATTRIBUTES, {"study_id": study_id}, changed)
    return True


def version_key(trial_id: int | None) -> str:
    """The system attribute of the study that exists if the note exists."""
    return f"{_owner(trial_id)}:note_ver"


def _owner(trial_id: int | None) -> str:
    return "dashboard" if trial_id is None else f"dashboard:{trial_id}"


def _keys(piece: str) -> list[str]:
    return [f"{piece}{i}" for i in range(_MOST_PIECES)]
