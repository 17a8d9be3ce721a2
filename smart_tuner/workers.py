"""The threads that run a study's trials in this process, and what Ctrl-C means to them."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from enum import Enum
from functools import partial
from types import FrameType

from optuna.exceptions import StorageInternalError
from optuna.trial import Trial

from smart_tuner.admission import Admission
from smart_tuner.machine import Capacity
from smart_tuner.storage import HEARTBEAT_SECONDS
from smart_tuner.trial import Slot, TrialLoop
from smart_tuner.trial_queue import Queue
from smart_tuner.verdict import State, StopAsked

log = logging.getLogger(__name__)

WATCH_SECONDS = 2.0  # between two looks for trials whose worker has died
SIGNAL_SECONDS = 0.5  # until a signal is seen at the latest
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Ending(Enum):
    """How the work came to its end."""

    DONE = "done"  # no trial was left
    POLITE = "polite"  # asked once: the trials saved and left
    AT_ONCE = "at once"  # asked twice, or failed


class Workers:
    """Takes trials from the queue until each has its verdict; one thread per place, `run` once."""

    def __init__(
        self,
        queue: Queue,
        loop: TrialLoop,
        room: Capacity,
        admission: Admission,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_interrupt = on_interrupt
        self._queue, self._loop, self._admission = queue, loop, admission
        self._slots = [
            Slot(i, room.threads, device, partial(admission.note_held, i)) for i, device in enumerate(room.devices)
        ]
        self._interrupted = threading.Event()
        self._ended = threading.Event()
        self._running: dict[int, Trial] = {}
        self._asked = 0  # how often a signal asked to stop
        self.ending = Ending.AT_ONCE  # unless `run` comes to its end

    def run(self) -> None:
        """Returns when all is done or was interrupted; `ending` says which.

        What a worker raises is raised here, after all trials were stopped.
        """
        with _signals_go_to(self._on_signal), ThreadPoolExecutor(len(self._slots) + 1, "worker") as pool:
            heart = pool.submit(self._beat)
            workers = [pool.submit(self._work, slot) for slot in self._slots]
            try:
                at_work = set(workers)
                while at_work:
                    # Not for ever: a signal that comes right after another one may reach another thread, and this
                    # one, where its handler has to run, is then not woken.
                    done, at_work = wait(at_work, SIGNAL_SECONDS, FIRST_EXCEPTION)
                    if any(worker.exception() for worker in done):
                        self.interrupt("another trial's worker failed")
            finally:
                self._ended.set()
        for future in (*workers, heart):
            future.result()
        polite = Ending.POLITE if self._asked == 1 else Ending.AT_ONCE
        self.ending = polite if self._interrupted.is_set() else Ending.DONE

    def interrupt(self, reason: str) -> None:
        """Let every trial save and leave; they can be continued."""
        self._interrupted.set()
        for slot in self._slots:
            slot.stop(StopAsked(prune=False, reason=reason))

    def _work(self, slot: Slot) -> None:
        while self._admission.enter(slot.index, slot.device, self._interrupted):
            try:
                trial = self._queue.take()
                if trial is not None:
                    self._run_one(trial, slot)
            finally:
                self._admission.leave(slot.index)
            if trial is None and not self._queue.unfinished():
                return
            if trial is None:  # others run elsewhere: stay, in case their worker dies
                self._interrupted.wait(WATCH_SECONDS)
                self._queue.recover()

    def _run_one(self, trial: Trial, slot: Slot) -> None:
        slot.clear()
        if self._interrupted.is_set():
            self._queue.give_back(trial)
            return
        self._running[trial.number] = trial
        give_back = True
        try:
            give_back = self._loop.run(trial, slot).state is State.INTERRUPTED
        finally:
            del self._running[trial.number]
            if give_back:
                self._queue.give_back(trial)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            for trial in list(self._running.values()):
                try:
                    self._queue.beat(trial)
                except StorageInternalError as error:  # the next beat comes before anybody thinks us dead
                    log.warning("trial %d: heartbeat not written (%s)", trial.number, error)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Once: politely, resumable. Twice: at once. May be interrupted by itself, hence counts before all else."""
        self._asked += 1
        again = self._asked > 1
        self._on_interrupt()
        self.interrupt(f"stopped by {signal.Signals(number).name}")
        if again:
            for slot in self._slots:
                slot.kill()


@contextmanager
def _signals_go_to(handler: object) -> Iterator[None]:
    """Only the main thread may set handlers; elsewhere the caller decides what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, handler) for number in numbers}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
