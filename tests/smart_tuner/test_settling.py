"""When a search has settled."""

import math
import random
import statistics

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from smart_tuner.settling import USUAL_NOISE, expected_gain, noise_between, passes, settled, why_settled
from smart_tuner.store.attributes import Attr
from trainer.objectives import DEFAULT_OBJECTIVE, OBJECTIVES, VALIDATION_LOSS

HEARD, LOSS = OBJECTIVES[DEFAULT_OBJECTIVE], OBJECTIVES[VALIDATION_LOSS]
GOOD = {"free_running_alignment": 0.95, "free_running_failed": 0.0}


def complete(value: float, *, feasible: bool = True, **metrics: float) -> FrozenTrial:
    attributes = {Attr.FEASIBLE: feasible, Attr.METRICS: GOOD | metrics}
    return create_trial(state=TrialState.COMPLETE, value=value, user_attrs=attributes)


def test_the_expected_gain_is_that_of_draws_with_an_exponential_tail() -> None:
    drawn = random.Random(1)
    expected, gained = [], []
    for _ in range(4000):
        values = [-drawn.expovariate(1.0) for _ in range(20)]
        expected.append(expected_gain(values, len(values)))
        gained.append(math.exp(min(values)))  # what the next draw gains on average
    assert statistics.fmean(expected) == pytest.approx(statistics.fmean(gained), rel=0.15)


def test_it_settles_when_the_gain_falls_below_the_noise() -> None:
    values = [10.0, 10.5, 11.0, 11.5]  # the better half is 0.75 below the next one
    assert expected_gain(values, 9) == pytest.approx(0.075)
    assert settled(values, 9, noise=0.07) is None
    found = settled(values, 9, noise=0.08)
    assert found is not None
    assert (found.gain, found.noise) == (pytest.approx(0.075), 0.08)
    assert settled(values, 2) is None
    usual = settled(values, 9)
    assert usual is not None
    assert usual.noise == pytest.approx(USUAL_NOISE * 10)


def test_a_few_values_say_nothing_of_the_next_one() -> None:
    assert settled([10.0] * 3, 100) is None


def test_a_study_goes_on_until_a_setting_passes() -> None:
    failing = [complete(10.0, free_running_failed=0.1)] * 5
    assert why_settled(failing, HEARD) is None
    assert why_settled([*failing, complete(9.0, feasible=False)], HEARD) is None
    why = why_settled([*failing, complete(10.1)], HEARD)
    assert why == (
        "a further trial is expected to be better by 0.00 dB, less than the 0.20 dB by which seeds alone differ"
    )
    assert why_settled([complete(10.0), complete(8.0)], HEARD) is None


def test_failed_trials_tell_nothing_of_the_next_one() -> None:
    values = [complete(value) for value in (10.0, 12.0, 14.0, 16.0)]
    assert why_settled([*values, *[create_trial(state=TrialState.FAIL)] * 100], HEARD) is None
    assert why_settled([*values, *[create_trial(state=TrialState.PRUNED)] * 100], HEARD) is not None


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (GOOD, True),
        (GOOD | {"free_running_alignment": 0.89}, False),
        (GOOD | {"free_running_failed": 0.01}, False),
        ({}, False),
        ({"free_running_alignment": math.nan, "free_running_failed": 0.0}, False),
    ],
)
def test_a_setting_passes_whose_sentences_all_end(metrics: dict[str, float], expected: bool) -> None:
    assert passes(metrics, HEARD) is expected
    assert passes(metrics, LOSS), "without speech, feasible is enough"


def test_the_noise_is_that_within_settings_not_between_them() -> None:
    assert noise_between([[1.0, 3.0], [101.0, 103.0], [7.0]]) == pytest.approx(statistics.stdev([1.0, 3.0]))
    assert noise_between([[1.0], [2.0]]) is None
