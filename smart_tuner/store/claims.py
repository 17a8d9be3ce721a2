"""Which of several workers tells people of something: the first that asks, by a user attribute of the study."""

import json
import uuid

import optuna
from optuna.storages._rdb import models
from sqlalchemy import Connection, Table, insert, select, update

from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.statements import hold_study

_attributes: Table = models.StudyUserAttributeModel.__table__


def claim_once(storage: RetryingStorage, study: optuna.Study, what: str, which: str = "") -> bool:
    """True for one of all who ask about the same, until the study is ordered anew (`orders.request_run`).

    what: e.g. "finished"; which: of several that come one after the other, e.g. with how many trials.
    """
    claim = [which, uuid.uuid4().hex[:12]]  # ours is known again where the transaction is sent a second time

    def step(connection: Connection) -> bool:
        hold_study(connection, study._study_id)
        row = (_attributes.c.study_id == study._study_id, _attributes.c.key == StudyAttr.TOLD.value)
        known = connection.execute(select(_attributes.c.value_json).where(*row)).scalar_one_or_none()
        told = {} if known is None else json.loads(known)
        if what in told and told[what][0] == which:
            return bool(told[what] == claim)
        text = json.dumps({**told, what: claim})
        if known is None:
            new = {"study_id": study._study_id, "key": StudyAttr.TOLD.value, "value_json": text}
            connection.execute(insert(_attributes), new)
        else:
            connection.execute(update(_attributes).where(*row).values(value_json=text))
        return True

    return storage.transaction(step)
