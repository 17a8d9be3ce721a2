"""What a study has found: its best trial, or else the nearest to feasible, read from the store."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.store.attributes import Attr
from trainer.protocol import RunDir


@dataclass(frozen=True)
class BestTrial:
    """The best trial of a study; or, where `feasible` is false, the one of the highest alignment."""

    study: str
    trial: int
    value: float | None  # validation loss; None for a trial that was not trained to its end
    feasible: bool
    params: Mapping[str, Any]  # of the search space, by dotted name
    metrics: Mapping[str, float]  # of its best report: validation_loss, alignment and its parts, gate figures, ...
    mlflow_run_id: str | None
    checkpoint: str | None  # path of the file with the voice


@dataclass(frozen=True)
class StudyResult:
    """best: None where no trial satisfies the constraints; `nearest` is then the one that came closest."""

    study: str
    best: BestTrial | None
    nearest: BestTrial | None
    states: Mapping[str, int]  # number of trials by state: COMPLETE, PRUNED, FAIL, WAITING, RUNNING


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The feasible COMPLETE trial of least loss, or None where no trial is feasible."""
    return next(iter(feasible_trials(study)), None)


def feasible_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The feasible COMPLETE trials, that of least loss first."""
    return feasible_of(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def feasible_of(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Those of `trials` that are feasible and COMPLETE, that of least loss first."""
    feasible = (t for t in trials if t.state is TrialState.COMPLETE and t.user_attrs[Attr.FEASIBLE])
    return sorted(feasible, key=lambda t: (t.value, t.number))


def nearest_trial(study: optuna.Study) -> FrozenTrial | None:
    """The finished trial of the highest alignment, to show where no trial is feasible."""
    scored = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and Attr.METRICS in t.user_attrs]
    return max(scored, key=lambda t: t.user_attrs[Attr.METRICS].get("alignment", 0.0), default=None)


def study_result(study: optuna.Study, workspace: Path, run_id: Callable[[int], str | None]) -> StudyResult:
    """run_id: returns MLflow's run of a trial, by its number."""
    name = study.study_name
    best = best_trial(study)
    nearest = None if best else nearest_trial(study)
    return StudyResult(
        name,
        _best(name, best, workspace, run_id(best.number)) if best else None,
        _best(name, nearest, workspace, run_id(nearest.number)) if nearest else None,
        Counter(t.state.name for t in study.get_trials(deepcopy=False)),
    )


def _best(study: str, trial: FrozenTrial, workspace: Path, run_id: str | None) -> BestTrial:
    checkpoint = RunDir(workspace / trial.user_attrs[Attr.RUN_DIR]).best_checkpoint
    return BestTrial(
        study=study,
        trial=trial.number,
        value=trial.value if trial.state is TrialState.COMPLETE else None,  # of pruned ones Optuna has the last report
        feasible=bool(trial.user_attrs.get(Attr.FEASIBLE, False)),
        params=dict(trial.params),
        metrics=trial.user_attrs.get(Attr.METRICS, {}),
        mlflow_run_id=run_id,
        checkpoint=str(checkpoint) if checkpoint.exists() else None,
    )
