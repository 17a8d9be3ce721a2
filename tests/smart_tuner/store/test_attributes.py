"""Why a trial ended, by the store: from the attribute, or from the reason that an older version stored."""

import pytest
from optuna.trial import TrialState, create_trial

from smart_tuner.outcome import Cause
from smart_tuner.store.attributes import Attr, stored_cause


@pytest.mark.parametrize(
    ("attributes", "cause"),
    [
        ({Attr.CAUSE: "loss", Attr.REASON: "diverged: whatever it says"}, Cause.LOSS),
        ({Attr.CAUSE: "of a later version"}, Cause.OTHER),
        ({Attr.REASON: "attention does not align: alignment 0.04 at 40% of the budget"}, Cause.ATTENTION),
        ({Attr.REASON: "loss too high among trials that align: 3.0 > 2.0"}, Cause.LOSS),
        ({Attr.REASON: "diverged: the loss is not finite"}, Cause.DIVERGED),
        ({Attr.REASON: "out of memory: needs 99 GiB"}, Cause.MEMORY),
        ({Attr.REASON: "took longer than 4 hours (`limits.trial_hours`)"}, Cause.TIME),
        ({Attr.REASON: "failed 3 times; at last the trainer was killed by SIGKILL\nthe log"}, Cause.KILLED),
        ({Attr.REASON: "failed 3 times; at last the trainer said nothing for 60 minutes"}, Cause.SILENT),
        ({Attr.REASON: "the trainer refused its input (exit code 2): a.wav"}, Cause.BAD_INPUT),
        ({Attr.REASON: "by hand"}, Cause.OTHER),
        ({}, Cause.OTHER),
    ],
)
def test_the_cause_is_an_attribute_and_for_old_trials_read_from_the_reason(
    attributes: dict[Attr, str], cause: Cause
) -> None:
    user = {key.value: value for key, value in attributes.items()}
    assert stored_cause(create_trial(state=TrialState.PRUNED, value=1.0, user_attrs=user)) is cause
    assert stored_cause(create_trial(state=TrialState.FAIL, user_attrs=user)) is cause
    assert stored_cause(create_trial(state=TrialState.COMPLETE, value=1.0, user_attrs=user)) is None
