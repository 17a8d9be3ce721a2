"""How paused trials end as PRUNED: with their study, or because their checkpoints would need too much disk."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from smart_tuner.outcome import Cause, Outcome, State
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import Attr, stored_cause
from smart_tuner.store.queue import Queue
from smart_tuner.workspace import Workspace
from trainer.protocol import RunDir

_GB = 1e9


class PausedEnds:
    """Of one study. Thread-safe."""

    def __init__(self, spec: StudySpec, queue: Queue, workspace: Workspace) -> None:
        self._study = spec.name
        self._limit = spec.limits.paused_gb
        self._queue = queue
        self._workspace = workspace
        self._lock = threading.Lock()  # of `keep_within_limit`
        self._known: dict[tuple[int, datetime], int] = {}  # bytes, by number and start of the last attempt
        self._looked = False  # for files that a worker has left which died before it deleted them

    def end(self) -> Iterator[tuple[int, Outcome]]:
        """End them, where the study has all its trials and nothing is worth training on; number and outcome of each.

        Their checkpoints stay, as those of other trials do.
        """
        why = "the study has ended"
        for number in self._queue.end_paused(partial(_attributes, Cause.NOT_PROMOTED, why)):
            yield number, Outcome(State.PRUNED, Cause.NOT_PROMOTED, why)

    def keep_within_limit(self) -> Sequence[tuple[int, Outcome]]:
        """End the least worth, and delete their checkpoints, as long as those on this machine need more than the limit.

        Returns number and outcome of each.
        """
        with self._lock:
            return list(self._given_up())

    def _given_up(self) -> Iterator[tuple[int, Outcome]]:
        if not self._looked:
            self._looked = True
            self._delete_left()
        why = f"the checkpoints of paused trials needed more than {self._limit:g} GB (`limits.paused_gb`)"
        while True:
            sizes = self._sizes()
            if sum(sizes.values()) <= self._limit * _GB:
                return
            number = self._queue.give_up(sizes, partial(_attributes, Cause.DISK_LIMIT, why))
            if number is None:  # others were faster, or our own step arrived without an answer
                self._delete_left()
            else:
                self._delete(number)
                yield number, Outcome(State.PRUNED, Cause.DISK_LIMIT, why)

    def _sizes(self) -> Mapping[int, int]:
        """Bytes that the checkpoints of paused trials need on this machine, by number; without those of others."""
        paused = self._queue.paused()
        self._known = {
            trial: self._known[trial] if trial in self._known else size_of(self._run_dir(trial[0]))
            for trial in paused.items()
        }
        return {number: size for (number, _), size in self._known.items() if size}

    def _delete_left(self) -> None:
        for trial in self._queue.study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)):
            if stored_cause(trial) is Cause.DISK_LIMIT:
                self._delete(trial.number)

    def _delete(self, number: int) -> None:
        for file in files_to_continue(self._run_dir(number)):
            file.unlink(missing_ok=True)

    def _run_dir(self, number: int) -> RunDir:
        return self._workspace.run_dir(self._study, number)


def _attributes(cause: Cause, why: str, why_paused: str) -> Mapping[str, Any]:
    return {Attr.CAUSE: cause.value, Attr.REASON: f"{why}; it had paused with {why_paused}"}


def files_to_continue(run_dir: RunDir) -> list[Path]:
    """The files of a trial that only its continuation needs: all checkpoints but the voices."""
    needed = (
        run_dir.last_checkpoint,
        run_dir.previous_checkpoint,
        run_dir.reported_checkpoint,
        run_dir.aligned_checkpoint,
    )
    return [path for path in needed if path.exists()]


def size_of(run_dir: RunDir) -> int:
    """Bytes of `files_to_continue`; several names of one file count once."""
    found = {}
    for path in files_to_continue(run_dir):
        try:
            stat = path.stat()
        except FileNotFoundError:  # it is being replaced, or was given up meanwhile
            continue
        found[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(found.values())
