"""The process in which MLflow is kept up to date beside running trials: `python -m smart_tuner.mlflow_mirror.process`.

It is begun by `sink`, and hears on standard input, line by line as JSON: an `Order`; then numbers of trials that
have news; at last `{"finish": seconds}`. It says on standard output `{"behind": reason}` where MLflow does not answer.
Exit code 0: MLflow has everything. 1: it has not, and `smart-tuner sync` does the rest.

Where its input ends without a word, the tuner was killed: then it has `ORPHAN_SECONDS` for what is left.
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
from smart_tuner.mlflow_mirror.settings import MirrorSettings

if TYPE_CHECKING:
    from smart_tuner.mlflow_mirror.mirror import MlflowMirror

ORPHAN_SECONDS = 30.0
_LOADING_NICENESS = 10  # at the lowest priority beside busy trials, two seconds of imports would last minutes
_SHARE = 20  # a round's CPU time, times this, is the least pause behind it
_STORE_SECONDS = 10.0  # that a store of studies which is away is waited for in one go


@dataclass(frozen=True)
class Order:
    """What the process works on. URLs are whole, with their passwords: so it goes through a pipe, and nowhere else.

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
        return json.dumps(asdict(self), default=str) + "\n"  # str: of the workspace's path

    @staticmethod
    def from_line(line: str) -> "Order":
        values = json.loads(line)
        mirror = values.pop("mirror")
        return Order(mirror=MirrorSettings(**mirror | {"workspace": Path(mirror["workspace"])}), **values)


class News:
    """What was heard and is not done yet. Thread-safe."""

    def __init__(self) -> None:
        self._numbers: dict[int, None] = {}  # in order: one that failed waits behind the others
        self._finish_by: float | None = None
        self._changed = threading.Condition()

    def add(self, numbers: Sequence[int]) -> None:
        with self._changed:
            self._numbers |= dict.fromkeys(numbers)
            self._changed.notify_all()

    def take(self) -> list[int]:
        """Wait for some, and take all; none where it is time to finish."""
        with self._changed:
            self._changed.wait_for(lambda: self._numbers or self._finish_by is not None)
            numbers, self._numbers = list(self._numbers), {}
        return numbers

    def finish(self, seconds: float) -> None:
        with self._changed:
            self._finish_by = time.monotonic() + seconds
            self._changed.notify_all()

    def is_finishing(self, within: float = 0.0) -> bool:
        """Whether it is time to finish now, or gets so while this waits."""
        with self._changed:
            return self._changed.wait_for(lambda: self._finish_by is not None, within)

    def seconds_left(self) -> float:
        assert self._finish_by is not None
        return self._finish_by - time.monotonic()


class Rounds:
    """Syncs the trials that have news, round after round; while MLflow does not answer, ever more seldom."""

    def __init__(self, mirror: "MlflowMirror", order: Order, news: News, say: TextIO) -> None:
        self._mirror, self._order, self._news, self._say = mirror, order, news, say
        self._whole = True  # whether the study is to be looked at as a whole, as nobody knows what MLflow lacks
        self._refused = False
        self._wait = order.first_wait

    def run(self) -> bool:
        """Until it is time to finish; whether MLflow then has everything."""
        while not self._news.is_finishing():
            began = time.process_time()
            answered = self.sync_study() if self._whole else self._sync_some()
            used = time.process_time() - began
            self._news.is_finishing(within=max(self._order.pause, _SHARE * used) if answered else self._next_wait())
        self._wait = self._order.first_wait
        while not self.sync_study():
            wait = self._next_wait()
            if wait > self._news.seconds_left():
                return False
            time.sleep(wait)
        return not self._refused

    def sync_study(self) -> bool:
        """Whether MLflow answered."""
        try:
            self._mirror.sync_study()
            self._refused = False
        except RunConflict as error:  # to try it again would not mend it
            self._tell(error)
            self._refused = True
        except Exception as error:  # the boundary: whatever MLflow or the store raises must not reach a trial
            self._tell(error)
            self._whole = True
            return False
        self._whole, self._wait = False, self._order.first_wait
        return True

    def _sync_some(self) -> bool:
        """One round; whether MLflow answered. A trial that fails is put behind the others, for the next one."""
        numbers = self._news.take()
        try:
            for number in self._mirror.sync_trials(tuple(numbers)):
                numbers.remove(number)
                self._wait = self._order.first_wait
        except RunConflict as error:
            self._tell(error)
            self._news.add(numbers[1:])
        except Exception as error:  # the same boundary
            self._tell(error)
            self._news.add([*numbers[1:], *numbers[:1]])
            return False
        return True

    def _next_wait(self) -> float:
        wait, self._wait = self._wait, min(2 * self._wait, self._order.longest_wait)
        return wait

    def _tell(self, error: Exception) -> None:
        words = masked_line(error, self._order.mirror.tracking_uri, self._order.storage_url)
        reason = f"{type(error).__name__}: {words}"
        with suppress(OSError):  # nobody listens any more
            print(json.dumps({"behind": reason}), file=self._say, flush=True)


def main() -> None:
    order = Order.from_line(sys.stdin.readline())
    news, usual = News(), os.nice(0)
    threading.Thread(target=_listen, args=(sys.stdin, news, usual), daemon=True).start()
    _be_nice(max(usual, min(_LOADING_NICENESS, order.niceness)))
    rounds = Rounds(_open_mirror(order), order, news, sys.stdout)
    rounds.sync_study()
    if not news.is_finishing():
        _be_nice(max(usual, order.niceness))
    os._exit(0 if rounds.run() else 1)  # a thread of MLflow's may hang in a request


def _open_mirror(order: Order) -> "MlflowMirror":
    """Raises as `open_storage` where the store of studies is away."""
    import optuna

    from smart_tuner.mlflow_mirror.mirror import MlflowMirror
    from smart_tuner.results import feasible_trials
    from smart_tuner.store.storage import open_storage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(order.storage_url, create=False, retry_seconds=_STORE_SECONDS)
    study = optuna.load_study(study_name=order.study, storage=storage)
    return MlflowMirror(order.mirror, study, feasible_trials)


def _listen(heard: TextIO, news: News, usual: int) -> None:
    """Until it is time to finish, and then until it is time to leave. usual: the niceness that it began with."""
    seconds = ORPHAN_SECONDS
    for line in heard:
        word = json.loads(line)
        if isinstance(word, int):
            news.add([word])
        else:
            seconds = word["finish"]
            break
    news.finish(seconds)
    _be_nice(usual)  # somebody waits for it, and no trial runs
    time.sleep(seconds)
    os._exit(1)  # whatever it is at


def _be_nice(niceness: int) -> None:
    """As far as that is permitted. Linux weighs sessions against each other, and niceness within one alone."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, os.getpid(), niceness)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")


if __name__ == "__main__":
    main()
