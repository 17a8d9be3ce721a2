"""Every use of a private part of Optuna, with its reason. The rest of the project uses Optuna's public names alone.

Optuna may change these without notice. tests/smart_tuner/store/test_optuna_internals.py has one test for each, which
says what in this project depends on it.
"""

import copy
import threading
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import optuna
from optuna.artifacts._upload import ARTIFACTS_ATTR_PREFIX, DEFAULT_MIME_TYPE
from optuna.samplers import TPESampler
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace, _SearchSpaceGroup
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.storages._rdb import models
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import Table

__all__ = ["ARTIFACTS_ATTR_PREFIX", "DEFAULT_MIME_TYPE"]  # re-exported unchanged

# The tables. A step of a trial is one transaction of our own statements (store/statements.py): Optuna's methods need
# several transactions for it, between which a worker can die or another one can take the trial.
STUDIES: Table = models.StudyModel.__table__
STUDY_USER_ATTRIBUTES: Table = models.StudyUserAttributeModel.__table__
STUDY_SYSTEM_ATTRIBUTES: Table = models.StudySystemAttributeModel.__table__
TRIALS: Table = models.TrialModel.__table__
TRIAL_PARAMS: Table = models.TrialParamModel.__table__
TRIAL_USER_ATTRIBUTES: Table = models.TrialUserAttributeModel.__table__
TRIAL_SYSTEM_ATTRIBUTES: Table = models.TrialSystemAttributeModel.__table__
TRIAL_VALUES: Table = models.TrialValueModel.__table__
INTERMEDIATE_VALUES: Table = models.TrialIntermediateValueModel.__table__
HEARTBEATS: Table = models.TrialHeartbeatModel.__table__

# How the tables hold numbers: a value and its type, since SQL has no infinity and no NaN.
FINITE_VALUE = models.TrialValueModel.TrialValueType.FINITE
to_stored_value = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
from_stored_value = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value

# Keys of system attributes. The attributes of a trial that ends are written in the transaction that ends it, which
# Optuna's `set_constraint`, `upload_artifact` and `enqueue_trial` cannot join.
OPTUNA_CONSTRAINT_PREFIX = f"{_CONSTRAINTS_KEY}:"  # constraints:alignment: feasible up to 0
FIXED_PARAMS_KEY = "fixed_params"  # the values that a queued trial must take

# The migrations of the tables. With them a store of another version is refused before anything in it is touched;
# Optuna names the versions that it knows only for a store that it has opened.
MIGRATIONS = Path(optuna.__file__).parent / "storages" / "_rdb" / "alembic"

# The private methods that Optuna's cache calls on the storage beneath it. They are retried, too.
READ_TRIALS_METHOD = "_get_trials"  # overridden: trials that have paused are read once
CALLED_BY_CACHE = ("_create_new_trial", "_set_trial_param", READ_TRIALS_METHOD, "_get_best_trial_id")
STALE_TRIALS_METHOD = "_get_stale_trial_ids"  # overridden: after an outage no trial is stale for a while


def study_id(study: optuna.Study) -> int:
    """The key of the study in the tables. It has no public name in Optuna. That of a deleted study is not reused."""
    return study._study_id


def trial_id(trial: Trial | FrozenTrial) -> int:
    """The key of the trial in the tables and for the storage's methods. It is unique in the store."""
    return trial._trial_id


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage that the study uses: Optuna's cache around the one with which it was opened."""
    return study._storage


def stored_trial(study: optuna.Study, number: int) -> FrozenTrial:
    """One trial. Optuna's `get_trials` reads all that have not finished."""
    storage = study._storage
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study._study_id, number))


def is_stored(study: optuna.Study) -> bool:
    """False once it was deleted, perhaps by another process: Optuna's cache still has its name."""
    return study._study_id in {one._study_id for one in study._storage.get_all_studies()}


def refresh_trials(study: optuna.Study) -> None:
    """Read the other trials for the samplers of this thread, as `Study.ask` does for a trial that it makes itself."""
    study._thread_local.cached_all_trials = study._storage.get_all_trials(study._study_id, deepcopy=False)


def forget_trials(study: optuna.Study) -> None:
    """Read all trials of the study again. Optuna's cache reads a finished trial once, since it never changes there."""
    storage = study._storage
    if isinstance(storage, _CachedStorage):
        with storage._lock:
            cached = storage._studies.setdefault(study._study_id, _StudyInfo())
            cached.last_finished_trial_id = -1
            cached.unfinished_trial_ids = set()
        storage._read_trials_from_remote_storage(study._study_id)


def share_reads(study: optuna.Study) -> None:
    """Have the threads that ask for the trials of this study at once share one read of the store.

    Optuna's cache has them wait for each other, and then lets each read all that has not finished."""
    if isinstance(study._storage, _CachedStorage):
        study._storage = _SharedReads(study._storage._backend)


class _SharedReads(_CachedStorage):
    """A read answers all that asked before it began. Thread-safe."""

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._reading = threading.Lock()
        self._begun = 0  # reads so far
        self._last_of: dict[int, int] = {}  # study -> the last read that succeeded

    def __reduce__(self) -> tuple[type["_SharedReads"], tuple[RDBStorage]]:
        return _SharedReads, (self._backend,)

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        begun_before = self._begun
        with self._reading:
            if self._last_of.get(study_id, 0) > begun_before:
                return
            self._begun += 1
            super()._read_trials_from_remote_storage(study_id)
            self._last_of[study_id] = self._begun


class StudyAsShown(optuna.Study):
    """The study as samplers should see it: with other trials than the store has.

    show: makes them of those that `refresh_trials` has read, when the trial was taken. Optuna's samplers have no public
    way to be shown others, such as WAITING ones. TPE would read all again for each group of parameters.
    """

    def __init__(self, study: optuna.Study, show: Callable[[Sequence[FrozenTrial]], Sequence[FrozenTrial]]) -> None:
        self.__dict__.update(study.__dict__)
        self._show = show

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        shown = self._show(super()._get_trials(deepcopy=deepcopy, states=None, use_cache=True))
        return [trial for trial in shown if states is None or trial.state in states]


def read_trials(storage: RDBStorage, study: int, unfinished: set[int], newer_than: int) -> list[FrozenTrial]:
    """The trials among `unfinished` and those with a higher id than `newer_than`, with all that is stored of them."""
    return RDBStorage._get_trials(storage, study, None, unfinished, newer_than)


def stale_trial_ids(storage: RDBStorage, study: int) -> list[int]:
    """The RUNNING trials whose heartbeat is older than the grace period, by the store's own clock.

    Optuna's public `fail_stale_trials` ends them; here they go back to the queue.
    """
    return RDBStorage._get_stale_trial_ids(storage, study)


class ParameterGroups(_GroupDecomposedSearchSpace):
    """Which parameters occur together. Optuna adds all trials again whenever it samples; here, each is added once.

    Adding a trial again would change nothing. Thread-safe, so that many samplers can share it.
    """

    def __init__(self) -> None:
        super().__init__(include_pruned=True)
        self._added: set[int] = set()
        self._lock = threading.Lock()

    def calculate(self, study: optuna.Study, use_cache: bool = False) -> _SearchSpaceGroup:
        learned_from = (TrialState.COMPLETE, TrialState.PRUNED)
        with self._lock:
            for trial in study._get_trials(deepcopy=False, states=learned_from, use_cache=use_cache):
                if trial.number not in self._added:
                    self._search_space.add_distributions(trial.distributions)
                    self._added.add(trial.number)
            return copy.deepcopy(self._search_space)


def share_groups(sampler: TPESampler, groups: ParameterGroups) -> None:
    """Have the sampler, made with `group=True`, use groups that several share. Optuna gives each its own."""
    sampler._group_decomposed_search_space = groups
