"""The process in which MLflow is kept up to date beside running trials: `python -m smart_tuner.mlflow_mirror.process`.

It is started by `sink`. It reads standard input, one JSON value per line: a `SyncJob`, then numbers of trials that have
news, at last `{"finish": seconds}`. It writes `{"behind": reason}` to standard output if MLflow does not answer. Exit
code 0: MLflow has everything. 1: it has not, and `smart-tuner sync` does the rest.

If its input ends without `finish`, the tuner was killed: then it has `ORPHAN_SECONDS` for what is left.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from smart_tuner.errors import RunConflict
from smart_tuner.masking import masked_line
from smart_tuner.mlflow_mirror.connection import no_answer
from smart_tuner.mlflow_mirror.settings import MirrorSettings

if TYPE_CHECKING:
    from smart_tuner.mlflow_mirror.mirror import MlflowMirror

ORPHAN_SECONDS = 30.0
_LOADING_NICENESS = 10  # at the lowest priority beside busy trials, two seconds of imports would last minutes
_SHARE = 20  # the pause after a round is at least so many times the round's CPU time
_STORE_SECONDS = 10.0  # for which one call retries if the store of studies is unavailable


@dataclass(frozen=True)
class SyncJob:
    """What the process works on. The URLs contain passwords, so it is sent through a pipe, and nowhere else.

    pause: least seconds between two rounds. first_wait, longest_wait: seconds before another attempt after a
    failure, doubled each time up to the longest. niceness: 0..19, the priority; 19 is the lowest.
    """

    storage_url: str = field(repr=False)
    study: str
    mirror: MirrorSettings
    pause: float = 1.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    niceness: int = 19

    def to_line(self) -> str:
        return json.dumps(asdict(self), default=str) + "\n"  # str: for the path of the workspace

    @staticmethod
    def from_line(line: str) -> "SyncJob":
        values = json.loads(line)
        mirror = values.pop("mirror")
        return SyncJob(mirror=MirrorSettings(**mirror | {"workspace": Path(mirror["workspace"])}), **values)


class Pending:
    """The trials that have news and are not sent yet, and the request to finish. Thread-safe."""

    def __init__(self) -> None:
        self._numbers: dict[int, None] = {}  # in order; one that failed goes behind the others
        self._finish_by: float | None = None
        self._changed = threading.Condition()

    def add(self, numbers: Sequence[int]) -> None:
        with self._changed:
            self._numbers |= dict.fromkeys(numbers)
            self._changed.notify_all()

    def take(self) -> list[int]:
        """Wait for trials, and take all; none if it is time to finish."""
        with self._changed:
            self._changed.wait_for(lambda: self._numbers or self._finish_by is not None)
            numbers, self._numbers = list(self._numbers), {}
        return numbers

    def finish(self, seconds: float) -> None:
        with self._changed:
            self._finish_by = time.monotonic() + seconds
            self._changed.notify_all()

    def is_finishing(self, within: float = 0.0) -> bool:
        """Whether it is time to finish; waits up to `within` seconds for that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._finish_by is not None, within)

    def seconds_left(self) -> float:
        assert self._finish_by is not None
        return self._finish_by - time.monotonic()


class Rounds:
    """Syncs the trials that have news, in rounds. While MLflow does not answer, the pauses between them grow."""

    def __init__(self, mirror: "MlflowMirror", job: SyncJob, pending: Pending, output: TextIO) -> None:
        self._mirror = mirror
        self._job = job
        self._pending = pending
        self._output = output
        self._whole = True  # whether the next round syncs the whole study, as it is not known what MLflow lacks
        self._refused = False
        self._wait = job.first_wait

    def run(self) -> bool:
        """Work until it is time to finish; return whether MLflow then has everything."""
        while not self._pending.is_finishing():
            start = time.process_time()
            answered = self.sync_study() if self._whole else self._sync_some()
            used = time.process_time() - start
            self._pending.is_finishing(within=max(self._job.pause, _SHARE * used) if answered else self._next_wait())
        self._wait = self._job.first_wait
        while not self.sync_study():
            wait = self._next_wait()
            if wait > self._pending.seconds_left():
                return False
            time.sleep(wait)
        return not self._refused

    def sync_study(self) -> bool:
        """Sync everything; return whether MLflow answered."""
        try:
            self._mirror.sync_study()
            self._refused = False
        except RunConflict as error:  # another attempt would not help
            self._report(error)
            self._refused = True
        except Exception as error:  # the boundary: whatever MLflow or the store raises must not reach a trial
            self._report(error)
            self._whole = True
            return False
        self._whole = False
        self._wait = self._job.first_wait
        return True

    def _sync_some(self) -> bool:
        """Sync the pending trials; return whether MLflow answered. A trial that fails goes behind the others."""
        numbers = self._pending.take()
        try:
            for number in self._mirror.sync_trials(tuple(numbers)):
                numbers.remove(number)
                self._wait = self._job.first_wait
        except RunConflict as error:
            self._report(error)
            self._pending.add(numbers[1:])
        except Exception as error:  # the same boundary
            self._report(error)
            self._pending.add([*numbers[1:], *numbers[:1]])
            return False
        return True

    def _next_wait(self) -> float:
        wait = self._wait
        self._wait = min(2 * wait, self._job.longest_wait)
        return wait

    def _report(self, error: Exception) -> None:
        message = masked_line(error, self._job.mirror.tracking_uri, self._job.storage_url)
        away = no_answer(error)
        reason = f"it does not answer: {away}" if away else f"{type(error).__name__}: {message}"
        with suppress(OSError):  # nobody reads the output any longer
            print(json.dumps({"behind": reason}), file=self._output, flush=True)


def main() -> None:
    job = SyncJob.from_line(sys.stdin.readline())
    pending = Pending()
    usual = os.nice(0)
    threading.Thread(target=_listen, args=(sys.stdin, pending, usual), daemon=True).start()
    _set_niceness(max(usual, min(_LOADING_NICENESS, job.niceness)))
    rounds = Rounds(_open_mirror(job), job, pending, sys.stdout)
    rounds.sync_study()
    if not pending.is_finishing():
        _set_niceness(max(usual, job.niceness))
    os._exit(0 if rounds.run() else 1)  # a thread of MLflow may hang in a request


def _open_mirror(job: SyncJob) -> "MlflowMirror":
    """Raises like `open_storage` if the store of studies is unavailable."""
    import optuna

    from smart_tuner.mlflow_mirror.mirror import MlflowMirror
    from smart_tuner.results import feasible_trials
    from smart_tuner.store.storage import open_storage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(job.storage_url, create=False, retry_seconds=_STORE_SECONDS)
    study = optuna.load_study(study_name=job.study, storage=storage)
    return MlflowMirror(job.mirror, study, feasible_trials)


def _listen(lines: TextIO, pending: Pending, usual: int) -> None:
    """Read the input until it says to finish, then exit at the deadline. usual: the niceness at the start."""
    seconds = ORPHAN_SECONDS
    for line in lines:
        value = json.loads(line)
        if isinstance(value, int):
            pending.add([value])
        else:
            seconds = value["finish"]
            break
    pending.finish(seconds)
    _set_niceness(usual)  # somebody waits for it, and no trial runs
    time.sleep(seconds)
    os._exit(1)


def _set_niceness(niceness: int) -> None:
    """Set it as far as that is permitted, also for the session: niceness counts only within a session on Linux."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, os.getpid(), niceness)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")


if __name__ == "__main__":
    main()
