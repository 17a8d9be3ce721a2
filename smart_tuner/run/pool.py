"""The threads that run trials in this process: one per slot, and one that watches the trials. See also `signals`."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from enum import Enum
from functools import partial

from optuna.exceptions import StorageInternalError
from optuna.trial import Trial
from sqlalchemy.exc import SQLAlchemyError

from smart_tuner.errors import StorageError
from smart_tuner.executors import Admission
from smart_tuner.machine.capacity import Capacity
from smart_tuner.masking import masked
from smart_tuner.outcome import Cause, Outcome, State, StopRequest
from smart_tuner.run.context import Context
from smart_tuner.run.session import Session
from smart_tuner.run.signals import StopSignals
from smart_tuner.run.slot import Slot
from smart_tuner.store.control import Request
from smart_tuner.store.storage import HEARTBEAT_SECONDS

log = logging.getLogger(__name__)

WATCH_SECONDS = 2.0  # between two checks of requests, of the trials' time limits, and for workers that have died
_MOST_WATCHES = 5  # the longest pause of an idle worker between two looks for a trial, as long as nothing changes
SIGNAL_SECONDS = 0.2  # until a signal is obeyed, at most
SPACE_SECONDS = 10.0  # between two checks whether the workspace can be written to again
_MOST_SPACE_WAITS = 12  # of so many seconds, after a trial for which the space did not suffice
FAILURES_IN_A_ROW = 5  # then something is wrong with this machine, not with the trials


class Ending(Enum):
    """How the work ended."""

    DONE = "done"  # no trial was left, or the studies were stopped
    POLITE = "polite"  # one signal: the trials saved their state and stopped
    BROKEN = "broken"  # too many failures in a row
    AT_ONCE = "at once"  # two signals, or an error


class Pool:
    """Takes trials of the sessions, those of the first session first, until none is left. Call `run` once."""

    def __init__(
        self,
        sessions: Sequence[Session],
        context: Context,
        capacity: Capacity,
        admission: Admission,
    ) -> None:
        self._sessions = sessions
        self._context = context
        self._admission = admission
        self._slots = [
            Slot(i, capacity.threads, device, partial(admission.note_held, i), self._is_leaving)
            for i, device in enumerate(capacity.devices)
        ]
        self._signals = StopSignals()
        self._leaving = threading.Event()  # set: no further trial is started
        self._ended = threading.Event()
        self._at_work: dict[Slot, tuple[Session, Trial]] = {}
        self._failures: list[str] = []  # in a row; reasons
        self._without_space: Counter[Slot] = Counter()  # attempts in a row
        self._news = threading.Condition()  # notified when a trial has ended here, and of people's requests
        self._announced = 0  # how often
        self._lock = threading.Lock()
        self._looking = threading.Lock()

    @property
    def failures(self) -> Sequence[str]:
        """Reasons of the attempts that failed one after the other, up to the last one."""
        return self._failures

    def run(self) -> Ending:
        """Return when all is done or was interrupted.

        An exception in one of the threads stops all trials and is then raised here.
        """
        with self._signals.counted(), ThreadPoolExecutor(len(self._slots) + 1, "worker") as pool:
            watch = pool.submit(self._watch)
            workers = [pool.submit(self._work, slot) for slot in self._slots]
            try:
                at_work = set(workers)
                obeyed = 0
                while at_work:
                    done, at_work = wait(at_work, SIGNAL_SECONDS, FIRST_EXCEPTION)
                    obeyed = self._obey(obeyed)
                    if any(worker.exception() for worker in done):
                        self.interrupt("another trial's worker failed")
                    if watch.done():  # without heartbeats, other machines take the trials over
                        self.interrupt("the watch over the trials failed")
            finally:
                self._ended.set()
        for future in (*workers, watch):
            future.result()
        return self._how_it_ended()

    def _how_it_ended(self) -> Ending:
        if count := len(self._signals.received):
            return Ending.POLITE if count == 1 else Ending.AT_ONCE
        return Ending.BROKEN if self._is_broken() else Ending.DONE

    def interrupt(self, reason: str) -> None:
        """Have every trial save its state and stop. All can be continued."""
        self._leaving.set()
        self._announce_news()
        for slot in self._slots:
            slot.stop(StopRequest(State.INTERRUPTED, Cause.INTERRUPTED, reason))

    def _is_leaving(self) -> bool:
        """Whether this process runs no further trial."""
        return self._leaving.is_set() or all(session.control.halt for session in self._sessions)

    def _work(self, slot: Slot) -> None:
        while not self._leaving.is_set():
            with self._looking:  # one idle thread looks for a trial; when it has found one, the next does
                if not self._wait_for_a_trial():
                    return
            if not self._may_begin(slot):
                return
            known = self._announced
            if not self._run_next(slot):
                self._wait_for_news(known, WATCH_SECONDS)

    def _wait_for_a_trial(self) -> bool:
        """Whether there may be one to take; False where none is left, or none may start any longer.

        Until then the disk and the GPU are left alone, and the store more and more, as long as nothing changes there.
        """
        seen: list[tuple[int, int]] = []  # of each session: trials that are left, and those that run elsewhere
        watches = 1
        while not self._leaving.is_set():
            known = self._announced  # before the store is asked: what comes meanwhile ends the wait at once
            if any(session.may_take() for session in self._sessions):
                return True
            before, seen = seen, [(session.left(), self._show_waiting(session)) for session in self._sessions]
            if not any(left for left, _ in seen):
                return False
            watches = min(2 * watches, _MOST_WATCHES) if seen == before else 1
            if self._wait_for_news(known, watches * WATCH_SECONDS):
                seen = []
            self._look_after_trials()
        return False

    def _run_next(self, slot: Slot) -> bool:
        """Run a trial, if there is still one, and say so. The slot was admitted to its device."""
        try:
            taken = self._take()
            if taken is not None:
                self._run_one(*taken, slot)
        finally:
            self._admission.leave(slot.index)
        self._wait_for_space(slot)
        return taken is not None

    def _wait_for_space(self, slot: Slot) -> None:
        """On a nearly full disk what a check writes may fit, and a trial not: the wait grows from try to try."""
        tries = self._without_space[slot]
        waits = min(_MOST_SPACE_WAITS, 2 ** (tries - 1)) if tries else 0
        for _ in range(waits):
            if self._leaving.wait(SPACE_SECONDS) or not self._has_work():
                return

    def _show_waiting(self, session: Session) -> int:
        """Where the rest runs elsewhere, or has paused: stay, in case a worker there dies."""
        return 0 if self._at_work or self._leaving.is_set() else session.show_waiting()

    def _wait_for_news(self, known: int, seconds: float) -> bool:
        """Whether there are any since the count was `known`."""
        with self._news:
            return self._news.wait_for(lambda: self._announced != known or self._leaving.is_set(), seconds)

    def _look_after_trials(self) -> None:
        """Return those of dead workers to the queue, and end paused ones."""
        for session in self._sessions:
            session.recover()
            session.end_paused()

    def _announce_news(self) -> None:
        with self._news:
            self._announced += 1
            self._news.notify_all()

    def _may_begin(self, slot: Slot) -> bool:
        """Wait for what a trial needs: a workspace that can be written to, and a share of the device.

        False where no trial is left, or none may start any longer.
        """
        logged = False
        while not self._leaving.is_set() and (obstacle := self._context.workspace.obstacle()) is not None:
            if not self._has_work():
                return False
            if not logged:
                log.warning("no trial can start: %s; checked again every %g s", obstacle, SPACE_SECONDS)
            logged = True
            self._leaving.wait(SPACE_SECONDS)
        return self._admission.enter(slot.index, slot.device, self._leaving, self._has_work)

    def _has_work(self) -> bool:
        return any(session.has_work() for session in self._sessions)

    def _take(self) -> tuple[Session, Trial] | None:
        for session in self._sessions:
            if (trial := session.take()) is not None:
                return session, trial
        return None

    def _run_one(self, session: Session, trial: Trial, slot: Slot) -> None:
        slot.clear()
        if self._leaving.is_set():
            session.queue.give_back(trial)
            return
        slot.trial = trial
        self._at_work[slot] = session, trial
        outcome = None
        try:
            outcome = session.loop.run(trial, slot)
        finally:
            del self._at_work[slot]
            if outcome is None or not outcome.state.is_final:
                session.queue.give_back(trial)
            self._announce_news()
        self._count(outcome)
        if outcome.state is State.NO_SPACE:
            self._without_space[slot] += 1
            log.warning("trial %d: %s; it is continued once there is space", trial.number, outcome.reason)
        else:
            del self._without_space[slot]

    def _count(self, outcome: Outcome) -> None:
        """Count failures in a row: a machine on which every trial fails must not use up the study."""
        with self._lock:
            if outcome.is_failure:
                self._failures.append(outcome.reason)
            elif (
                outcome.state.is_final or outcome.state is State.PAUSED
            ) and not self._is_broken():  # once broken, it only ends its running trials
                self._failures.clear()
            broken = self._is_broken()
        if broken:
            self.interrupt("too many failures in a row on this worker")

    def _is_broken(self) -> bool:
        return len(self._failures) >= FAILURES_IN_A_ROW

    def _watch(self) -> None:
        last_beat = time.monotonic()
        while not self._ended.wait(WATCH_SECONDS):
            beat = time.monotonic() - last_beat >= HEARTBEAT_SECONDS
            last_beat = time.monotonic() if beat else last_beat
            looks: list[Callable[[], None]] = [partial(self._look_at, session, beat) for session in self._sessions]
            if beat:  # after our own heartbeats, which must not wait for it
                looks.append(self._look_after_trials_if_nobody_does)
            for look in looks:
                try:
                    look()
                except (StorageInternalError, SQLAlchemyError, StorageError) as error:  # it is tried again soon
                    log.warning("the store does not answer: %s", masked(str(error)))

    def _look_after_trials_if_nobody_does(self) -> None:
        """Where all threads are busy, those of dead workers wait for the next free slot alone."""
        if self._looking.acquire(blocking=False):
            try:
                self._look_after_trials()
            finally:
                self._looking.release()

    def _look_at(self, session: Session, beat: bool) -> None:
        before = session.control
        session.read_requests()
        if session.control != before:
            self._announce_news()
        for slot, (at_work_on, trial) in list(self._at_work.items()):
            if at_work_on is not session:
                continue
            slot.check(session.spec.limits.trial_hours, session.spec.limits.silent_minutes)
            if (halt := session.control.halt) is not None:
                slot.stop(StopRequest(State.INTERRUPTED, Cause.INTERRUPTED, halt), trial)
                how = "are killed" if session.control.request is Request.STOP_NOW else "save their state"
                session.show(f"{halt}, the trials {how}")
            if session.control.request is Request.STOP_NOW:
                slot.kill(trial)
            if beat and not session.queue.beat(trial):
                reason = "another worker has taken the trial over"
                slot.stop(StopRequest(State.LOST, Cause.TAKEN_OVER, reason), trial)
                slot.kill(trial)

    def _obey(self, before: int) -> int:
        """Act on new signals. One: the trials save and stop. A second one: at once. Returns how many were obeyed."""
        received = self._signals.received
        count = len(received)
        if count > before:
            self._say_interrupted(at_once=count > 1)
            self.interrupt(f"stopped by {received[0]}")
            if count > 1:
                for slot in self._slots:
                    slot.kill()
        return count

    def _say_interrupted(self, at_once: bool) -> None:
        if at_once:
            self._context.storage.give_up.set()  # no operation is retried any longer
        notice = "stopping at once" if at_once else "stopping, the trials save their state (Ctrl-C again: at once)"
        for session in self._sessions:
            session.show(notice)
