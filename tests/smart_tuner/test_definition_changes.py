"""Which changes of its definition a study with trials accepts, and which it refuses, in lines for people."""

import json
from typing import Any

import pytest
from lab import STUDY, study_spec

from smart_tuner.definition_changes import Differences, differences
from smart_tuner.spec.conditions import constants

LR = {"type": "float", "low": 5e-4, "high": 5e-3, "log": True}
SIGMA = {"type": "float", "low": 0.2, "high": 0.4, "step": 0.1, "when": {"guided_attention.enabled": True}}


def between(**changes: Any) -> Differences:
    specs = [study_spec(**some) for some in ({}, changes)]
    first, second = (json.loads(spec.model_dump_json()) for spec in specs)
    return differences(first, second, (constants(specs[0]), constants(specs[1])))


def searched(**changes: Any) -> dict[str, Any]:
    """The lab's search with other parameters; None removes one."""
    merged = STUDY["search"] | {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in merged.items() if value is not None}


def test_the_same_definition_differs_in_nothing() -> None:
    assert between() == Differences()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"search": searched(optimizer__lr=LR | {"low": 1e-3})},
            "optimizer.lr: 0.0005..0.005 (log) -> 0.001..0.005 (log)",
        ),
        (
            {"search": searched(guided_attention__sigma=SIGMA)},
            "guided_attention.sigma: always 0.3 -> 0.2..0.4 in steps of 0.1 when guided_attention.enabled = true",
        ),
        (
            {"search": searched(guided_attention__enabled=None), "enqueue": STUDY["enqueue"][:0]},
            "guided_attention.enabled: one of true, false -> always true",
        ),
        (
            {"search": searched(optimizer__lr=None), "fixed": {"optimizer.lr": 1e-3}, "enqueue": []},
            "optimizer.lr: 0.0005..0.005 (log) -> always 0.001",
        ),
        (
            {"search": searched(model__reduction={"type": "int", "low": 2, "high": 5})},
            "model.reduction: always 4 -> 2..5 (whole numbers)",
        ),
        ({"sampler": {"seed": 1, "warm_start": ["other"]}}, 'sampler.warm_start: [] -> ["other"]'),
        ({"pruner": {"patience": 3}}, "pruner.patience: 2 -> 3"),
        ({"hours": 2}, "hours: null -> 2.0"),
        ({"enqueue": [*STUDY["enqueue"], {"optimizer.lr": 3e-3}]}, 'enqueue[2]: not set -> {"optimizer.lr": 0.003}'),
        (
            {"enqueue": [STUDY["enqueue"][0], *STUDY["enqueue"]]},
            'enqueue[1]: not set -> {"optimizer.lr": 0.002, "guided_attention.enabled": true}',
        ),
        ({"enqueue": STUDY["enqueue"][::-1]}, "enqueue: the same settings in another order"),
        (
            {"enqueue": STUDY["enqueue"][:1]},
            'enqueue[1]: {"optimizer.lr": 0.002, "guided_attention.enabled": false} -> left out',
        ),
    ],
)
def test_changes_that_leave_trials_comparable_are_accepted(changes: dict[str, Any], line: str) -> None:
    found = between(**changes)
    assert line in found.taken
    assert found.refused == ()


def test_all_other_changes_are_refused_together() -> None:
    found = between(
        corpus="demo:ru",
        budget={"frames": 2000, "reports": 4},
        fixed={"batch.size": 8},
        search=searched(optimizer__lr=LR | {"log": False}, guided_attention__enabled=None, model__reduction=None),
        enqueue=[],
        constraints={"alignment": {"at_least": 0.7}},
    )
    assert found.refused == (
        "corpus: demo:en -> demo:ru",
        "budget.frames: 1000 -> 2000",
        "constraints.alignment.at_least: 0.5 -> 0.7",
        "fixed.batch.size: not set -> 8",
        "optimizer.lr: 0.0005..0.005 (log) -> 0.0005..0.005",
    )
