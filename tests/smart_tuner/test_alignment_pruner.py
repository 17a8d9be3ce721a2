"""The pruner that Optuna's users have without the rest of the project."""

import math
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import Trial

from smart_tuner.alignment_pruner import AlignmentPruner, report

Curve = Sequence[tuple[float, float | None]]  # alignment, value

MUTE: Curve = [(0.02, None)] * 10
SLOW: Curve = [(0.02, None), (0.1, None), (0.2, None), *[(0.6, 11.0)] * 7]
GOOD: Curve = [(0.3, None), (0.7, 11.0), (0.9, 10.0), *[(0.95, 9.0)] * 7]
BETTER: Curve = [(0.4, None), (0.7, 11.0), (0.85, 9.5), *[(0.95, 8.0)] * 7]


def searched(*curves: Curve, pruner: AlignmentPruner | None = None) -> list[int]:
    """How many reports each trial of a study makes whose trials run one after another."""
    study = optuna.create_study(pruner=pruner or AlignmentPruner(reports=10))

    def objective(trial: Trial) -> float:
        for index, (alignment, value) in enumerate(curves[trial.number], 1):
            report(trial, index, alignment=alignment, value=value)
            if trial.should_prune():
                raise optuna.TrialPruned
        return 1.0

    study.optimize(objective, n_trials=len(curves))
    return [len(trial.user_attrs["alignment"]) for trial in study.trials]


def test_trials_that_do_not_align_end_at_the_first_rung() -> None:
    assert searched(GOOD, MUTE, MUTE, SLOW) == [10, 1, 1, 1]


def test_a_better_one_goes_on_and_a_worse_one_does_not() -> None:
    assert searched(MUTE, MUTE, GOOD, SLOW) == [10, 1, 10, 1]
    assert searched(SLOW, SLOW, GOOD, BETTER, SLOW, BETTER) == [10, 1, 10, 10, 1, 3]  # the last is no better than one


def test_a_trial_that_diverges_ends_at_once() -> None:
    assert searched([(0.5, 11.0), (0.5, math.nan), (0.5, 11.0)]) == [2]
    assert searched([(math.nan, None), (0.5, 11.0)]) == [1]


def test_rungs_and_eta_can_be_given() -> None:
    assert searched(GOOD, MUTE, GOOD, pruner=AlignmentPruner(reports=10, eta=2, rungs=[0.2])) == [10, 2, 2]


def test_a_pruner_without_a_rung_is_refused() -> None:
    with pytest.raises(ValueError, match="before the last of 10"):
        AlignmentPruner(reports=10, rungs=[0.95])


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    exec(compile(example, "docs/search.md", "exec"), {})
    states = capsys.readouterr().out
    assert "PRUNED" in states
    assert "COMPLETE" in states
