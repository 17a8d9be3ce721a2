"""Signs of life: how long the workers of a study's trials have been silent, by the store's own clock."""

from datetime import datetime

from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, func, select

from smart_tuner.store.retrying import RetryingStorage

_trials: Table = models.TrialModel.__table__
_beats: Table = models.TrialHeartbeatModel.__table__


def seconds_since_heartbeat(storage: RetryingStorage, study_id: int) -> dict[int, float]:
    """By the number of each RUNNING trial whose worker has given a sign of life."""

    def read(connection: Connection) -> dict[int, float]:
        now: datetime | None = connection.execute(select(func.now())).scalar()
        assert now is not None
        running = (_trials.c.study_id == study_id, _trials.c.state == TrialState.RUNNING)
        rows = connection.execute(
            select(_trials.c.number, _beats.c.heartbeat).join_from(_trials, _beats).where(*running)
        )
        return {row.number: (now.replace(tzinfo=None) - row.heartbeat).total_seconds() for row in rows}

    return storage.transaction(read)
