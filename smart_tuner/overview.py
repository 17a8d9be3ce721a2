"""The studies of a store with their state and counts. Reads only."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import optuna

from smart_tuner.results import feasible_of, objective_of
from smart_tuner.store.attributes import Attr, StudyAttr, shown_state
from smart_tuner.store.control import Control, read_control
from smart_tuner.store.queue import Queue
from smart_tuner.store.replicates import is_replicate
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import no_study_in
from trainer.evaluation.verdict import heard


class StudyState(StrEnum):
    RUNNING = "running"  # a worker is at work on it
    FINISHED = "finished"  # it has all its trials
    STOPPED = "stopped"  # on request, or its time or its frames are used; `resume`, or more of them, continues it
    WAITING = "waiting"  # it has trials to do, and no worker is at work on it
    FOREIGN = "foreign"  # made by another program in the same store


@dataclass(frozen=True)
class StudyOverview:
    study: str
    state: StudyState
    corpus: str
    target: int  # finished trials that were asked for
    trials: Mapping[str, int]  # of the search: counts by Optuna's name of the state
    replicates: int  # that have finished, of the best settings with other seeds
    best_trial: int | None
    best_value: float | None  # of `objective`
    objective: str  # the figure that the study optimises, by its name
    best_heard: str | None  # the verdict on the best trial's speech; None: no best trial, or not measured

    @property
    def finished(self) -> int:
        return sum(self.trials.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))


def overviews(storage: RetryingStorage) -> Iterator[StudyOverview]:
    """One per study, in the order in which they were created."""
    for name in optuna.get_all_study_names(storage):
        with suppress(KeyError):  # Optuna's error for a study that was deleted meanwhile
            yield _overview(optuna.load_study(study_name=name, storage=storage), storage)


def studies_by_use(storage: RetryingStorage, url: str) -> list[optuna.Study]:
    """The studies that this project has made, the one used last first: whose trials began or ended last.

    Those without trials are the last ones, the newest of them first. Raises NoStudies for a store without any.
    """
    named = optuna.get_all_study_names(storage)  # in the order in which they were created
    studies = [optuna.load_study(study_name=name, storage=storage) for name in reversed(named)]
    ours = [study for study in studies if StudyAttr.DEFINITION in study.user_attrs]
    if not ours:
        raise no_study_in(url)
    return sorted(ours, key=_last_used, reverse=True) if len(ours) > 1 else ours


def _last_used(study: optuna.Study) -> datetime:
    trials = study.get_trials(deepcopy=False)
    times = [moment for t in trials for moment in (t.datetime_start, t.datetime_complete) if moment is not None]
    return max(times, default=datetime.min)


def _overview(study: optuna.Study, storage: RetryingStorage) -> StudyOverview:
    trials = study.get_trials(deepcopy=False)
    definition = study.user_attrs.get(StudyAttr.DEFINITION)
    counts = Counter(shown_state(trial) for trial in trials if not is_replicate(trial))
    replicates = sum(is_replicate(trial) and trial.state.is_finished() for trial in trials)
    objective = objective_of(study)
    best = next(iter(feasible_of(trials)), None) if definition else None
    control = read_control(study)
    found = StudyOverview(
        study.study_name,
        StudyState.FOREIGN,
        definition["corpus"] if definition else "",
        control.target,
        dict(counts),
        replicates,
        best.number if best else None,
        best.value if best else None,
        objective.metric if definition else "",
        heard(best.user_attrs.get(Attr.METRICS, {})) if best else None,
    )
    if not definition:
        return found
    return replace(found, state=_state(found, control, Queue(study, storage, control.target)))


def _state(found: StudyOverview, control: Control, queue: Queue) -> StudyState:
    if queue.is_at_work():
        return StudyState.RUNNING
    if queue.left() <= 0:
        return StudyState.FINISHED
    return StudyState.STOPPED if control.halt else StudyState.WAITING
