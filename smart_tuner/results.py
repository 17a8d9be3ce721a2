"""What a study has found, as frozen values."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.store.attributes import Attr
from smart_tuner.study import best_trial, nearest_trial
from trainer.protocol import RunDir


@dataclass(frozen=True)
class BestTrial:
    """The best trial of a study; or, where `feasible` is false, the one that came nearest to speaking."""

    study: str
    trial: int
    value: float | None  # validation loss; None for a pruned one that came nearest
    feasible: bool
    params: Mapping[str, Any]  # of the search space, by dotted name
    metrics: Mapping[str, float]  # of its best report: validation_loss, alignment and its parts, gate figures, ...
    mlflow_run_id: str | None
    checkpoint: str | None  # path to load a voice from


@dataclass(frozen=True)
class StudyResult:
    """best: None where no trial satisfies the constraints; `nearest` then says which came closest."""

    study: str
    best: BestTrial | None
    nearest: BestTrial | None
    states: Mapping[str, int]  # how many trials ended COMPLETE, PRUNED, FAIL, or wait or run still


def study_result(study: optuna.Study, workspace: Path, run_id: Callable[[int], str | None]) -> StudyResult:
    """run_id: MLflow's run of a trial, by its number."""
    name, best = study.study_name, best_trial(study)
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
        value=trial.value if trial.state is TrialState.COMPLETE else None,  # Optuna gives pruned ones their last report
        feasible=bool(trial.user_attrs.get(Attr.FEASIBLE, False)),
        params=dict(trial.params),
        metrics=trial.user_attrs.get(Attr.METRICS, {}),
        mlflow_run_id=run_id,
        checkpoint=str(checkpoint) if checkpoint.exists() else None,
    )
