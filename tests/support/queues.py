"""A queue of trials for tests, used in this process and in another one."""

import subprocess
import sys

import optuna
from lab import SUPPORT
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState

from smart_tuner.store.attributes import Attr
from smart_tuner.store.queue import Queue

Opened = tuple[RDBStorage, optuna.Study, Queue]


def taker(url: str, target: int, *hold: str) -> subprocess.Popen[str]:
    """A process that takes and finishes trials; with "hold" it keeps the first one. See take_trials.py."""
    command = [sys.executable, str(SUPPORT / "take_trials.py"), url, str(target), *hold]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pauser(url: str, target: int) -> subprocess.Popen[str]:
    """A process whose trials pause; it prints each start. See pause_trials.py."""
    command = [sys.executable, str(SUPPORT / "pause_trials.py"), url, str(target)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def replicator(url: str, target: int, *hold: str) -> subprocess.Popen[str]:
    """A process that trains replicates; with "hold" it keeps the first one. See replicate_trials.py."""
    command = [sys.executable, str(SUPPORT / "replicate_trials.py"), url, str(target), *hold]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(queue: Queue, trial: Trial | None, value: float = 1.0) -> None:
    assert trial is not None
    trial.set_user_attr(Attr.FEASIBLE, True)
    assert queue.finish(trial, TrialState.COMPLETE, value)


def take(queue: Queue) -> Trial:
    trial = queue.take()
    assert trial is not None
    return trial
