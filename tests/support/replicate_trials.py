"""A program that trains the replicates of a study and prints their numbers, one per line.

With a third argument it takes one and holds it until it is killed.
"""

import sys
import time

from lab import open_queue, study_spec
from optuna.trial import TrialState

from smart_tuner.space import suggest


def main(url: str, target: str, hold: str = "") -> None:
    spec = study_spec(
        replicates={"top": 2, "seeds": 2}, enqueue=[], objective={"metric": "validation_loss"}, pruner={"kind": "none"}
    )
    _, _, queue = open_queue(url, int(target), spec)
    while queue.left():
        queue.recover()
        trial = queue.take()
        if trial is None:
            time.sleep(0.02)
            continue
        if hold:
            print(trial.number, flush=True)
            time.sleep(1000)
        print(trial.number, flush=True)
        suggest(trial, spec.search)
        trial.set_user_attr("feasible", True)
        queue.finish(trial, TrialState.COMPLETE, float(trial.number))


if __name__ == "__main__":
    main(*sys.argv[1:])
