"""What a stored trial's intermediate values are: losses only where the loss is the objective."""

from optuna.trial import create_trial

from smart_tuner.pruning import Point
from smart_tuner.store.attributes import Attr
from smart_tuner.store.curves import curve_of
from trainer.objectives import DEFAULT_OBJECTIVE, OBJECTIVES, VALIDATION_LOSS

STORED = create_trial(value=11.9, intermediate_values={1: 11.9}, user_attrs={Attr.ALIGNMENT.value: {"1": 0.9}})


def test_distances_are_no_losses() -> None:
    assert curve_of(STORED, OBJECTIVES[DEFAULT_OBJECTIVE]) == {}


def test_where_the_loss_is_the_objective_they_are() -> None:
    assert curve_of(STORED, OBJECTIVES[VALIDATION_LOSS]) == {1: Point(1, 11.9, 0.9, 11.9)}
