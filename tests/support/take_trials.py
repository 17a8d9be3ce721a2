"""A program that takes the trials of a study and prints their numbers, one per line.

With a third argument it takes one trial and holds it until it is killed.
"""

import sys
import time

from lab import open_queue, study_spec
from optuna.trial import TrialState

from smart_tuner.space import suggest


def main(url: str, target: str, hold: str = "") -> None:
    spec = study_spec()
    _, _, queue = open_queue(url, int(target), spec)
    while queue.left():
        trial = queue.take()
        if trial is None:
            time.sleep(0.02)
            continue
        print(trial.number, flush=True)
        while hold:
            time.sleep(1)
        suggest(trial, spec.search)
        trial.set_user_attr("feasible", True)
        queue.finish(trial, TrialState.COMPLETE, float(trial.number))


if __name__ == "__main__":
    main(*sys.argv[1:])
