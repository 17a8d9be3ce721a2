"""A program that runs trials of a study which pause at each rung, until the study has ended.

It prints a line for each start: the number of the trial, and the report from which it goes on.
"""

import sys
import time

from lab import open_queue, study_spec
from optuna.trial import TrialState

from smart_tuner.outcome import Cause
from smart_tuner.space import suggest
from smart_tuner.store.attributes import Attr


def main(url: str, target: str) -> None:
    spec = study_spec(pruner={"kind": "promotion"}, objective={"metric": "validation_loss"})
    _, _, queue = open_queue(url, int(target), spec)
    while queue.left():
        trial = queue.take()
        if trial is None:
            queue.end_paused(lambda why: {Attr.CAUSE: Cause.NOT_PROMOTED.value, Attr.REASON: "the study ended"})
            time.sleep(0.02)
            continue
        begun = queue.stored(trial).last_step or 0
        print(trial.number, begun, flush=True)
        suggest(trial, spec.search)
        loss = float(trial.number)
        index = begun + 1
        assert queue.report(trial, index, loss, {Attr.ALIGNMENT: {str(i): 0.9 for i in range(1, index + 1)}})
        if index == 3:
            queue.finish(trial, TrialState.COMPLETE, loss, user={Attr.FEASIBLE: True})
        else:
            assert queue.pause(trial, user={Attr.PAUSED: {"index": index, "reason": f"loss {loss}", "time": 0}})


if __name__ == "__main__":
    main(*sys.argv[1:])
