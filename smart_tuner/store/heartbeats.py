"""How long ago the workers of a study's trials sent a heartbeat, by the store's own clock."""

from datetime import datetime

from optuna.trial import TrialState
from sqlalchemy import Connection, func, select

from smart_tuner.store.optuna_internals import HEARTBEATS, TRIALS
from smart_tuner.store.retrying import RetryingStorage


def seconds_since_heartbeat(storage: RetryingStorage, study_id: int) -> dict[int, float]:
    """Number of each RUNNING trial whose worker has sent a heartbeat -> seconds."""

    def read(connection: Connection) -> dict[int, float]:
        now: datetime | None = connection.execute(select(func.now())).scalar()
        assert now is not None
        running = (TRIALS.c.study_id == study_id, TRIALS.c.state == TrialState.RUNNING)
        rows = connection.execute(
            select(TRIALS.c.number, HEARTBEATS.c.heartbeat).join_from(TRIALS, HEARTBEATS).where(*running)
        )
        return {row.number: (now.replace(tzinfo=None) - row.heartbeat).total_seconds() for row in rows}

    return storage.transaction(read)
