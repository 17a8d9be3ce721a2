"""The parameters of a trial in another search space: whether it lies there, and what a study can try of it."""

from typing import Any

import pytest
from lab import study_spec

from smart_tuner.spec.conditions import constants
from smart_tuner.spec.translation import fitted, in_space

WHEN = {"guided_attention.enabled": True}
SPEC = study_spec(
    search={
        "optimizer.lr": {"type": "float", "low": 1e-3, "high": 4e-3, "log": True},
        "batch.size": {"type": "int", "low": 4, "high": 16, "step": 4},
        "guided_attention.enabled": {"type": "categorical", "choices": [True, False]},
        "guided_attention.weight": {"type": "float", "low": 1, "high": 9, "when": WHEN},
    },
    fixed={"schedule.kind": "constant", "model.reduction": 3},
    enqueue=[],
)
INSIDE = {"optimizer.lr": 2e-3, "batch.size": 8, "guided_attention.enabled": True, "guided_attention.weight": 5.0}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, INSIDE),
        ({"optimizer.lr": 8e-3}, None),
        ({"batch.size": 6}, None),  # between two steps
        ({"model.reduction": 5}, INSIDE),  # a number that is no longer searched
        ({"schedule.kind": "constant"}, INSIDE),
        ({"schedule.kind": "cosine"}, None),
    ],
)
def test_a_trial_lies_in_a_space_that_has_all_its_values(changes: dict[str, Any], found: dict[str, Any] | None) -> None:
    assert in_space({**INSIDE, **changes}, {}, SPEC.search, constants(SPEC)) == found


def test_what_a_trial_did_not_search_is_taken_from_elsewhere_or_left_out() -> None:
    params = {"optimizer.lr": 2e-3}
    elsewhere = {"batch.size": 8, "guided_attention.enabled": False}
    assert in_space(params, elsewhere, SPEC.search, constants(SPEC)) == params | elsewhere
    assert in_space(params, {"batch.size": 64}, SPEC.search, constants(SPEC)) == params
    assert in_space(params, {"schedule.kind": "cosine"}, SPEC.search, constants(SPEC)) is None


def test_a_setting_that_fits_is_taken_as_it_is() -> None:
    found = fitted(INSIDE, {}, SPEC.search, constants(SPEC))
    assert (found.setting, found.changes) == (INSIDE, ())


def test_each_change_of_a_setting_has_its_line() -> None:
    params = {
        "optimizer.lr": 8e-3,
        "batch.size": 30,
        "guided_attention.enabled": False,
        "guided_attention.weight": 5.0,
        "schedule.kind": "cosine",
        "model.reduction": 3,
    }
    found = fitted(params, {}, SPEC.search, constants(SPEC))
    assert found.setting == {"optimizer.lr": 4e-3, "batch.size": 16, "guided_attention.enabled": False}
    assert found.changes == (
        "batch.size = 30 becomes 16: here it is between 4 and 16 in steps of 4",
        "guided_attention.weight = 5.0 is left out: it has no effect here",
        "optimizer.lr = 0.008 becomes 0.004: here it is between 0.001 and 0.004",
        "schedule.kind = 'cosine' is left out: here it is 'constant' in all trials",
    )


def test_a_category_without_a_place_is_left_to_the_sampler() -> None:
    kinds = {"optimizer.kind": {"type": "categorical", "choices": ["adam", "adamw"]}}
    spec = study_spec(search=kinds, enqueue=[])
    found = fitted({"optimizer.kind": "lion"}, {}, spec.search, constants(spec))
    assert found.setting == {}
    assert found.changes == ("optimizer.kind = 'lion' is left to the sampler: here it is one of 'adam', 'adamw'",)
