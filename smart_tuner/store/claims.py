"""Which of several workers notifies people of something: the first that claims it in a user attribute of the study."""

import json
import uuid

import optuna
from sqlalchemy import Connection, insert, select, update

from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.optuna_internals import STUDY_USER_ATTRIBUTES, study_id
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.statements import hold_study


def claim_once(storage: RetryingStorage, study: optuna.Study, what: str, which: str = "") -> bool:
    """True for the first caller that claims it, until the study is submitted again (`control.request_run`).

    what: such as "finished"; which: distinguishes what happens more than once, such as by the number of trials.
    """
    owner = {"study_id": study_id(study), "key": StudyAttr.CLAIMS.value}
    claim = [which, uuid.uuid4().hex[:12]]  # a transaction that is sent twice finds its own claim again

    def step(connection: Connection) -> bool:
        hold_study(connection, study_id(study))
        row = [STUDY_USER_ATTRIBUTES.c[column] == value for column, value in owner.items()]
        stored = connection.execute(select(STUDY_USER_ATTRIBUTES.c.value_json).where(*row)).scalar_one_or_none()
        claims = {} if stored is None else json.loads(stored)
        if what in claims and claims[what][0] == which:
            return bool(claims[what] == claim)
        text = json.dumps({**claims, what: claim})
        if stored is None:
            connection.execute(insert(STUDY_USER_ATTRIBUTES), {**owner, "value_json": text})
        else:
            connection.execute(update(STUDY_USER_ATTRIBUTES).where(*row).values(value_json=text))
        return True

    return storage.transaction(step)
