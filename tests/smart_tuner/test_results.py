"""The best trial of a study, or the nearest to feasible where none is."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from smart_tuner.figures import LOSS
from smart_tuner.results import best_trial, certainty, nearest_trial, study_result
from smart_tuner.store.attributes import Attr
from smart_tuner.store.replicates import Setting

LR = {"optimizer.lr": FloatDistribution(1e-4, 1e-2)}


def add(study: optuna.Study, end: str, value: float | None, alignment: float | None, feasible: bool = False) -> None:
    number = len(study.trials)
    attrs: dict[str, object] = {Attr.RUN_DIR: f"runs/s/trial-{number:04d}", Attr.FEASIBLE: feasible}
    if alignment is not None:
        attrs[Attr.METRICS] = {"validation_loss": value, "alignment": alignment}
    # In Optuna, the value of a pruned trial is its last report.
    study.add_trial(
        create_trial(
            state=TrialState[end], value=value, params={"optimizer.lr": 1e-3}, distributions=LR, user_attrs=attrs
        )
    )


def test_the_best_trial_comes_with_all_that_is_needed_to_use_it(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s")
    add(study, "COMPLETE", 1.0, 0.1)
    add(study, "COMPLETE", 2.0, 0.9, feasible=True)
    add(study, "FAIL", None, None)
    checkpoint = tmp_path / "runs/s/trial-0001/checkpoints/best.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    result = study_result(study, tmp_path, lambda number: f"run-{number}")
    assert result.nearest is None
    assert dict(result.states) == {"COMPLETE": 2, "FAIL": 1}
    assert result.best is not None
    assert (result.best.study, result.best.trial, result.best.value, result.best.feasible) == ("s", 1, 2.0, True)
    assert result.best.params == {"optimizer.lr": 1e-3}
    assert result.best.metrics == {"validation_loss": 2.0, "alignment": 0.9}
    assert result.best.mlflow_run_id == "run-1"
    assert result.best.checkpoint == str(checkpoint)


def test_where_none_is_feasible_the_nearest_is_shown_and_none_is_the_best(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s")
    add(study, "COMPLETE", 1.0, 0.1)
    add(study, "PRUNED", 3.0, 0.4)
    result = study_result(study, tmp_path, lambda number: None)
    assert result.best is None
    assert result.nearest is not None
    assert (result.nearest.trial, result.nearest.feasible, result.nearest.checkpoint) == (1, False, None)
    assert result.nearest.value is None  # a trial that was not trained to its end has no result
    assert result.nearest.metrics["alignment"] == 0.4


def test_a_study_without_a_finished_trial_has_neither(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s")
    study.enqueue_trial({})
    result = study_result(study, tmp_path, lambda number: None)
    assert (result.best, result.nearest, dict(result.states)) == (None, None, {"WAITING": 1})


def test_the_best_is_the_feasible_complete_trial_of_least_loss() -> None:
    study = optuna.create_study()
    assert best_trial(study) is None
    add(study, "COMPLETE", 0.1, 0.05, feasible=False)
    add(study, "PRUNED", 0.2, 0.9, feasible=True)
    add(study, "FAIL", None, None)
    assert best_trial(study) is None
    for value in (3.0, 2.0, 2.0, 4.0):
        add(study, "COMPLETE", value, 0.6, feasible=True)
    best = best_trial(study)
    assert best is not None
    assert best.number == 4


def test_the_nearest_is_the_finished_trial_of_highest_alignment() -> None:
    study = optuna.create_study()
    assert nearest_trial(study) is None
    study.ask().set_user_attr(Attr.METRICS, {"alignment": 0.9})  # still running
    add(study, "FAIL", None, None)
    assert nearest_trial(study) is None
    add(study, "COMPLETE", 0.1, 0.05)
    add(study, "PRUNED", 5.0, 0.4)
    add(study, "COMPLETE", 2.0, 0.3)
    nearest = nearest_trial(study)
    assert nearest is not None
    assert nearest.number == 3


def setting(number: int, *values: float | None) -> Setting:
    """None: not feasible with that seed."""
    trials = [
        create_trial(state=TrialState.COMPLETE, value=value or 9.0, user_attrs={Attr.FEASIBLE: value is not None})
        for value in values
    ]
    for index, trial in enumerate(trials):
        trial.number = number + 10 * index
    return Setting(trials[0], tuple(trials[1:]))


def test_a_lead_counts_that_is_more_than_seeds_alone_explain() -> None:
    sure = certainty([setting(1, 2.0, 2.2), setting(2, 2.5, 2.7), setting(3, 2.0)])
    assert (sure.trials, sure.second, sure.misses) == ((1, 11), 2, 0)
    assert (sure.mean, sure.spread, sure.lead) == (
        pytest.approx(2.1),
        pytest.approx(0.1414, abs=1e-4),
        pytest.approx(0.5),
    )
    assert sure.noise == sure.chance == pytest.approx(0.1414, abs=1e-4)  # two seeds against two
    assert sure.is_clear
    assert sure.in_words(LOSS) == (
        "Its setting was trained with 2 seeds (trials 1, 11): teacher-forced loss 2.1 on average, standard deviation "
        "0.1414. Its lead over trial 2, 0.5, is more than seeds alone explain (0.1414)."
    )
    close = certainty([setting(1, 2.0, 2.2), setting(2, 2.15, 2.25)])
    assert not close.is_clear
    assert "Its lead over trial 2, 0.1, is no more than seeds alone explain (0.1118)." in close.in_words(LOSS)


def test_a_seed_that_is_not_feasible_is_told() -> None:
    sure = certainty([setting(1, 2.0, None)])
    assert sure.in_words(LOSS) == (
        "Its setting was trained with 2 seeds (trials 1, 11), with 1 of them it is not feasible: teacher-forced loss 2 "
        "on average."
    )
