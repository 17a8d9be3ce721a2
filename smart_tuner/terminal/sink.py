"""Shows a study that this process runs: a live table in a terminal, or lines where the output is no terminal."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

from smart_tuner.figures import LOSS, Figure
from smart_tuner.machine.load import LoadGauge
from smart_tuner.outcome import Outcome, State
from smart_tuner.spec import BudgetSpec
from smart_tuner.terminal.lines import (
    line_of_best,
    line_of_correction,
    line_of_end,
    line_of_progress,
    line_of_standing,
    line_of_start,
)
from smart_tuner.terminal.live_table import StudyTable
from smart_tuner.terminal.progress import TrialProgress, is_told
from smart_tuner.terminal.screen import Narrowing, can_redraw, print_line
from smart_tuner.terminal.view import Ended, Tally, View
from trainer.protocol import Event as TrainerEvent
from trainer.protocol import EventKind

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0  # between two reads of the store, for the trials of other workers
LINE_SECONDS = 10.0  # least time between two progress lines of a trial
STANDING_SECONDS = 600.0  # after so long without a line, one shows the progress of the study


class ConsoleSink:
    """Thread-safe. A context manager: the live table is shown while the block runs.

    budget: of one trial. target: returns how many trials are asked for. tally: reads the tally from the store.
    objective: the figure that the study optimises.
    live: a live table if the console is a terminal; False for one of several studies, whose lines begin with its name.
    """

    def __init__(
        self,
        console: Console,
        study: str,
        *,
        budget: BudgetSpec,
        target: Callable[[], int],
        tally: Callable[[], Tally],
        live: bool = True,
        objective: Figure = LOSS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._console = console
        self._study = study
        self._budget = budget
        self._target = target
        self._read_tally = tally
        self._objective = objective
        self._clock = clock
        self._prefix = "" if live else f"{study}: "
        self._is_live = live and can_redraw(console)
        self._started = clock()
        self._printed = self._started  # when the last line was printed
        self._tally = tally()
        self._worked = self._tally.worked  # before this process
        self._notice = ""
        self._running: dict[int, TrialProgress] = {}
        self._taken: set[int] = set()  # trials that this process took, and nobody else since
        self._given_back: dict[int, Ended] = {}
        self._shown: dict[int, float] = {}  # when a line last showed a running trial's progress
        self._lock = Lock()
        self._over = Event()
        self._gauge = LoadGauge()
        self._narrowing = Narrowing(console)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> "ConsoleSink":
        Thread(target=self._keep_reading, name="look", daemon=True).start()
        if self._is_live:
            self._gauge.__enter__()
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._live.stop()
        self._gauge.__exit__(kind, error, trace)

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        history: Sequence[TrainerEvent] = (),
        resumed: bool,
        promoted: bool = False,
        replicate_of: int | None = None,
    ) -> None:
        now = self._clock()
        progress = TrialProgress(number, params, self._budget, now, history, replicate_of)
        with self._lock:
            self._running[number] = progress
            self._shown[number] = 0.0
            self._taken.add(number)
            self._given_back.pop(number, None)
            self._notice = ""
        self._line(line_of_start(progress.row(now), resumed=resumed, promoted=promoted))

    def event(self, number: int, event: TrainerEvent) -> None:
        now = self._clock()
        with self._lock:
            progress = self._running[number]
            progress.take(event, now)
        if event.kind is EventKind.VALIDATION and now - self._shown[number] >= LINE_SECONDS:
            self._shown[number] = now
            self._line(line_of_progress(progress.row(now), self._objective))
        if is_told(event):
            self._line(line_of_correction(progress.row(now)))

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            row = self._running.pop(number).row(self._clock())
            before = self._tally.best
            ended = Ended(
                number,
                outcome.state,
                row.loss,
                row.alignment,
                outcome.reason,
                row.params,
                cause=outcome.cause,
                spoken=row.spoken,
            )
            if not outcome.state.is_final:
                self._given_back[number] = ended
            if outcome.state is State.LOST:
                self._taken.discard(number)
        self._look()
        if outcome.state.is_final:
            ended = next((known for known in self._tally.ended if known.number == number), ended)
        self._line(line_of_end(ended, self._objective))
        best = self._tally.best
        if best is not None and best.number == number and best != before:
            self._line(line_of_best(best, self._objective))

    def paused_ended(self, number: int, outcome: Outcome) -> None:
        if any(row.number == number for row in self._tally.paused):  # several end together: one look has them all
            self._look()
        ended = Ended(number, outcome.state, reason=outcome.reason, cause=outcome.cause)
        ended = next((known for known in self._tally.ended if known.number == number), ended)
        self._line(line_of_end(ended, self._objective))

    def say(self, notice: str) -> None:
        """Show a notice, such as a reason to wait, until the next trial starts. Never waits for the terminal."""
        with self._lock:
            if notice == self._notice:
                return
            self._notice = notice
        Thread(target=self._line, args=(notice,), name="say", daemon=True).start()

    def _look(self, given_back: Set[int] = frozenset()) -> None:
        """given_back: trials that are back in the queue; one that runs is another worker's."""
        found = self._read_tally()
        with self._lock:
            if (found.revivals, found.finished) >= (self._tally.revivals, self._tally.finished):  # else it is older
                self._tally = found
            self._taken -= given_back & self._given_back.keys()  # except those that we took again meanwhile
            for number in {row.number for row in self._tally.ended} | (self._tally.running - self._taken):
                self._given_back.pop(number, None)

    def _keep_reading(self) -> None:
        """Read what other workers have done. If the store is unavailable for minutes, the table goes on meanwhile."""
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                given_back = set(self._given_back)
            try:
                self._look(given_back)
            except Exception as error:  # the sinks' boundary; the next read follows soon
                log.debug("the terminal could not read the store: %s", error)
            if not self._is_live and self._clock() - self._printed >= STANDING_SECONDS:
                self._line(line_of_standing(self._view()))

    def _line(self, text: str) -> None:
        if not self._is_live:
            self._printed = self._clock()
            print_line(self._console, self._prefix + text, self._printed)

    def _render(self) -> RenderableType:
        self._narrowing.look()
        return StudyTable(self._view(), self._console.height)

    def _view(self) -> View:
        now = self._clock()
        with self._lock:
            running = {number: progress.row(now) for number, progress in sorted(self._running.items())}
            given_back, notice, tally = dict(self._given_back), self._notice, self._tally
        own = {number: row for number, row in given_back.items() if row.state != State.PAUSED}
        waiting = {row.number: row for row in tally.waiting} | own
        return View(
            self._study,
            self._target(),
            replace(
                tally,
                waiting=tuple(row for number, row in sorted(waiting.items()) if number not in running),
                paused=tuple(row for row in tally.paused if row.number not in running),
            ),
            running=tuple(running.values()),
            elsewhere=len(tally.running - self._taken),
            elapsed=self._worked + now - self._started,
            load=self._gauge.now,
            notice=notice,
            objective=self._objective,
        )
