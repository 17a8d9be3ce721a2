"""What a study has found: its best trial, or else the nearest to feasible, read from the store."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner import earlier_versions
from smart_tuner.figures import UNFINISHED, Figure, missed
from smart_tuner.settling import USUAL_NOISE, noise_between
from smart_tuner.store.attributes import Attr, StudyAttr, shown_state
from smart_tuner.store.replicates import Setting, settings_of
from trainer.objectives import OBJECTIVES, Objective
from trainer.protocol import RunDir


@dataclass(frozen=True)
class Certainty:
    """How sure it is that the best setting is the best. Figures are of the objective.

    trials: those of the setting, the one of the search first. misses: how many of them are not feasible. mean, spread:
    over the others; spread None for one alone. noise: the standard deviation between seeds, of all settings that have
    several, or else the usual one. lead: by how much the mean of the second setting, that of trial `second`, is worse.
    chance: the standard error of that.
    """

    trials: Sequence[int]
    misses: int
    mean: float
    spread: float | None
    noise: float
    second: int | None
    lead: float | None
    chance: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the lead is more than chance explains; also where there is no second."""
        return self.lead is None or self.chance is None or self.lead > self.chance

    def in_words(self, objective: Figure) -> str:
        trained = "Its setting was trained with one seed"
        if len(self.trials) > 1:
            numbers = ", ".join(map(str, self.trials))
            missed = f", with {self.misses} of them it is not feasible" if self.misses else ""
            spread = "" if self.spread is None else f", standard deviation {objective.text(self.spread)}"
            trained = (
                f"Its setting was trained with {len(self.trials)} seeds (trials {numbers}){missed}: {objective.words} "
                f"{objective.text(self.mean)} on average{spread}"
            )
        if self.second is None:
            return f"{trained}."
        return (
            f"{trained}. Its lead over trial {self.second}, {objective.text(self.lead)}, is "
            f"{'more' if self.is_clear else 'no more'} than seeds alone explain ({objective.text(self.chance)})."
        )


@dataclass(frozen=True)
class BestTrial:
    """The best trial of a study; or, where `feasible` is false, the nearest to feasible."""

    study: str
    trial: int
    objective: str  # the figure that the study optimises, by its name among `metrics`
    value: float | None  # of that figure; None for a trial that was not trained to its end
    feasible: bool
    params: Mapping[str, Any]  # of the search space, by dotted name
    metrics: Mapping[str, float]  # of its best report: validation_loss, alignment, free_running_distance, ...
    mlflow_run_id: str | None
    checkpoint: str | None  # path of the file with the voice
    certainty: Certainty | None = None  # None where it is not feasible


@dataclass(frozen=True)
class StudyResult:
    """best: None where no trial satisfies the constraints; `nearest` is then the one that came closest."""

    study: str
    best: BestTrial | None
    nearest: BestTrial | None
    missed: str  # why `nearest` is not feasible, in words
    states: Mapping[str, int]  # number of trials by state: COMPLETE, PRUNED, FAIL, PAUSED, WAITING, RUNNING


def objective_of(study: optuna.Study) -> Objective:
    """What the study optimises."""
    definition = study.user_attrs.get(StudyAttr.DEFINITION) or {}
    metric = definition.get("objective", {}).get("metric", earlier_versions.OBJECTIVE)
    return OBJECTIVES.get(metric, Objective(metric))  # one of a later version has its name alone


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The feasible COMPLETE trial that is best by the study's objective, or None where no trial is feasible."""
    return next(iter(feasible_trials(study)), None)


def feasible_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The feasible COMPLETE trials, the best one first."""
    return feasible_of(study.get_trials(deepcopy=False))


def feasible_of(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Those of `trials` that are feasible and COMPLETE, the best one first; without replicates, which count for it."""
    return [setting.original for setting in settings_of(trials)]


def nearest_trial(study: optuna.Study) -> FrozenTrial | None:
    """The finished trial nearest to feasible, to show where no trial is feasible."""
    scored = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and Attr.METRICS in t.user_attrs]
    return min(scored, key=_distance_to_feasible, default=None)


def _distance_to_feasible(trial: FrozenTrial) -> tuple[float, float]:
    """By how much it misses the constraints, all together; failed trials have none. Then by alignment."""
    missing = sum(max(0.0, value) for value in trial.constraints.values()) if trial.constraints else math.inf
    return missing, -trial.user_attrs[Attr.METRICS].get("alignment", 0.0)


def study_result(study: optuna.Study, workspace: Path, run_id: Callable[[int], str | None]) -> StudyResult:
    """run_id: returns MLflow's run of a trial, by its number."""
    name = study.study_name
    settings = settings_of(study.get_trials(deepcopy=False))
    best = settings[0].original if settings else None
    nearest = None if best else nearest_trial(study)
    return StudyResult(
        name,
        _best(study, best, workspace, run_id(best.number), certainty(settings)) if best else None,
        _best(study, nearest, workspace, run_id(nearest.number), None) if nearest else None,
        (missed(nearest.constraints) or UNFINISHED) if nearest else "",
        Counter(shown_state(t) for t in study.get_trials(deepcopy=False)),
    )


def certainty(settings: Sequence[Setting]) -> Certainty:
    """Of the first one. settings: the best one first."""
    best, *others = settings
    noise = noise_between([setting.values for setting in settings]) or USUAL_NOISE * abs(best.mean)
    second = others[0] if others else None
    return Certainty(
        trials=(best.original.number, *(trial.number for trial in best.replicates)),
        misses=best.misses,
        mean=best.mean,
        spread=best.spread,
        noise=noise,
        second=second.original.number if second else None,
        lead=second.mean - best.mean if second else None,
        chance=noise * math.sqrt(1 / len(best.values) + 1 / len(second.values)) if second else None,
    )


def _best(
    study: optuna.Study, trial: FrozenTrial, workspace: Path, run_id: str | None, sure: Certainty | None
) -> BestTrial:
    checkpoint = RunDir(workspace / trial.user_attrs[Attr.RUN_DIR]).best_checkpoint
    return BestTrial(
        study=study.study_name,
        trial=trial.number,
        objective=objective_of(study).metric,
        value=trial.value if trial.state is TrialState.COMPLETE else None,  # of pruned ones Optuna has the last report
        feasible=bool(trial.user_attrs.get(Attr.FEASIBLE, False)),
        params=dict(trial.params),
        metrics=trial.user_attrs.get(Attr.METRICS, {}),
        mlflow_run_id=run_id,
        checkpoint=str(checkpoint) if checkpoint.exists() else None,
        certainty=sure,
    )
