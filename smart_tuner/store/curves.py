"""The curves of the other trials, which the pruner compares with: read from the store with as little as they need."""

import json
import threading
from collections.abc import Sequence

import optuna
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, or_, select

from smart_tuner.pruning import Curve, Point
from smart_tuner.store.attributes import Attr
from smart_tuner.store.retrying import RetryingStorage

_trials: Table = models.TrialModel.__table__
_losses: Table = models.TrialIntermediateValueModel.__table__
_as_told = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
_attributes: Table = models.TrialUserAttributeModel.__table__
_AT_ONCE = 1000  # trials whose reports one statement asks for


class Peers:
    """The curves of a study's trials, those of finished ones kept: they change no more. Thread-safe.

    Reads reports alone: Optuna's `get_trials` reads all there is of every unfinished trial, for each report anew.
    """

    def __init__(self, study: optuna.Study, storage: RetryingStorage) -> None:
        self._study_id, self._storage = study._study_id, storage
        self._finished: dict[int, Curve] = {}  # by trial id
        self._seen: tuple[int, list[int]] = 0, []  # the newest trial; those that were not finished
        self._lock = threading.Lock()  # from one look to what it saw: an older one must not undo a newer one

    def beside(self, trial_id: int) -> list[Curve]:
        """Those of all trials that have reported anything, but for this one."""
        with self._lock:
            states, curves = self._storage.transaction(self._read)
            self._finished |= {key: known for key, known in curves.items() if states[key].is_finished()}
            newest = max((self._seen[0], *states))
            self._seen = newest, [key for key, state in states.items() if not state.is_finished()]
            return [known for key, known in {**self._finished, **curves}.items() if known and key != trial_id]

    def _read(self, connection: Connection) -> tuple[dict[int, TrialState], dict[int, Curve]]:
        """States and curves of the trials that were not finished, or not there, at the last look."""
        newest, unfinished = self._seen
        changed = or_(_trials.c.trial_id > newest, _trials.c.trial_id.in_(unfinished))
        found = select(_trials.c.trial_id, _trials.c.state).where(_trials.c.study_id == self._study_id, changed)
        states = {row.trial_id: row.state for row in connection.execute(found)}
        ids, curves = list(states), dict[int, Curve]()
        for some in (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)):
            curves |= _curves(connection, some)
        return states, curves


def _curves(connection: Connection, trial_ids: Sequence[int]) -> dict[int, Curve]:
    """As `curve` makes them."""
    told = (_attributes.c.trial_id.in_(trial_ids), _attributes.c.key == Attr.ALIGNMENT)
    rows = connection.execute(select(_attributes.c.trial_id, _attributes.c.value_json).where(*told))
    alignment = {row.trial_id: json.loads(row.value_json) for row in rows}
    curves: dict[int, dict[int, Point]] = {trial_id: {} for trial_id in trial_ids}
    for row in connection.execute(select(_losses).where(_losses.c.trial_id.in_(list(alignment)))):
        if (score := alignment[row.trial_id].get(str(row.step))) is not None:
            loss = _as_told(row.intermediate_value, row.intermediate_value_type)
            curves[row.trial_id][row.step] = Point(row.step, loss, score)
    return {**curves}
