"""A study that was begun when the trainer had other defaults goes on with those."""

import io
import json
from typing import Any

import pytest
from lab import GUIDED, STUDY, Lab
from rich.console import Console

from smart_tuner.store.attributes import StudyAttr
from smart_tuner.study import spec_of
from trainer.config import LossConfig

BEFORE = LossConfig(gate_tail=0, gate_positive_weight=5.0)
WEIGHT = {"type": "float", "low": 4, "high": 20, "log": True}


def begun_before(lab: Lab, **changes: Any) -> None:
    """Run one trial of a study, and let the store say no more of it than an earlier version did."""
    lab.define(enqueue=[GUIDED] * 4, **changes)
    lab.tuner().optimize(1)
    lab.study().set_user_attr(StudyAttr.DEFAULTS, {})


def goes_on(lab: Lab, trials: int, **overrides: Any) -> list[str]:
    """Continue it; returns the lines about how it goes on."""
    lab.console.file.close()
    output = io.StringIO()
    lab.console = Console(file=output, width=1000)
    lab.tuner(overrides=overrides).optimize(trials)
    return [line for line in output.getvalue().splitlines() if "goes on with" in line]


def loss_of(lab: Lab, number: int) -> LossConfig:
    return LossConfig(**json.loads(lab.run_dir(number).config.read_text(encoding="utf-8"))["loss"])


def test_new_trials_train_with_the_defaults_of_its_beginning_which_is_said_once(lab: Lab) -> None:
    begun_before(lab)
    assert goes_on(lab, 2) == [
        "study 'lab' goes on with the defaults of its beginning: loss.gate_tail = 0 (now 3), "
        "loss.gate_positive_weight = 5 (now 8)"
    ]
    assert goes_on(lab, 3) == []
    assert [loss_of(lab, number) for number in range(3)] == [LossConfig(), BEFORE, BEFORE]


def test_it_goes_on_by_its_name_alone(lab: Lab) -> None:
    begun_before(lab)
    assert spec_of(lab.study()).fixed == {"loss.gate_tail": 0, "loss.gate_positive_weight": 5.0}


@pytest.mark.parametrize("given", [{"fixed": {"loss.gate_positive_weight": 7.0}}, {"fixed": {"loss.gate_weight": 0}}])
def test_what_it_gives_or_what_has_no_effect_is_not_replaced(lab: Lab, given: dict[str, Any]) -> None:
    begun_before(lab, **given)
    assert spec_of(lab.study()).fixed == {**given["fixed"], "loss.gate_tail": 0}


def test_a_setting_that_it_keeps_can_still_be_searched(lab: Lab) -> None:
    begun_before(lab)
    goes_on(lab, 2)
    changed = spec_of(lab.study(), {"search.loss.gate_positive_weight": WEIGHT})
    assert changed.fixed == {"loss.gate_tail": 0}
    lab.define(enqueue=[GUIDED] * 4, search={**STUDY["search"], "loss.gate_positive_weight": WEIGHT})
    assert goes_on(lab, 3) == ["study 'lab' goes on with loss.gate_positive_weight: always 5.0 -> 4..20 (log)"]
    assert loss_of(lab, 2).gate_tail == 0


def test_a_new_study_takes_the_present_defaults_and_keeps_nothing(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED] * 2)
    assert goes_on(lab, 1) == []
    assert goes_on(lab, 2) == []
    assert loss_of(lab, 1) == LossConfig()
