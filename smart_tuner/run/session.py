"""One study of which this process runs trials: its queue, its loop, its sinks, and what users request of it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import optuna
from optuna.trial import Trial

from smart_tuner import figures
from smart_tuner.command_hints import hint_for_readers
from smart_tuner.dashboard.gallery import Gallery
from smart_tuner.dashboard.sink import NoteSink
from smart_tuner.formatting import counted
from smart_tuner.mlflow_mirror.sink import MlflowSink
from smart_tuner.notify.dispatcher import Dispatcher
from smart_tuner.notify.sink import notifying
from smart_tuner.results import objective_of
from smart_tuner.run.context import Context
from smart_tuner.run.trial import TrialLoop
from smart_tuner.settling import why_settled
from smart_tuner.sinks import detached
from smart_tuner.sinks.tensorboard import TensorBoardSink
from smart_tuner.spec import StudySpec
from smart_tuner.store.control import Control, Request, note_frames_reached, read_control
from smart_tuner.store.curves import StudyCurves
from smart_tuner.store.optuna_internals import share_reads
from smart_tuner.store.paused import PausedTrials
from smart_tuner.store.queue import Queue
from smart_tuner.terminal.sink import ConsoleSink
from smart_tuner.terminal.tally import TallyCache, tally_of
from smart_tuner.terminal.view import Tally
from smart_tuner.trial_costs import budgets_left
from smart_tuner.warm_start import earlier_curves, sources_of

_SHOWN_ENDED = 100  # the terminal shows fewer; it limits the cost of a study of thousands


@dataclass(eq=False)
class Session:
    """One thread calls `read_requests`; all else may be called from any thread."""

    spec: StudySpec
    queue: Queue
    loop: TrialLoop
    show: Callable[[str], None] = lambda notice: None  # in the terminal; never waits
    notify_lost: Callable[[Sequence[int]], None] = lambda numbers: None  # numbers: trials whose workers are dead
    mlflow: MlflowSink | None = None  # closed, with those of the other sessions, by the function that made it
    control: Control = field(default_factory=Control)  # until `read_requests`

    def __post_init__(self) -> None:
        self.read_requests()

    def read_requests(self) -> None:
        """Read from the store what users request of the study now."""
        revived = self.control.revived
        try:
            self._ends_by_frames()
            self.control = read_control(self.queue.study)
        except KeyError:  # by which Optuna reports that the study was deleted
            self.control = Control(request=Request.STOP_NOW, revived=revived)
        if self.control.revived != revived:
            self.queue.forget()
        self.queue.target = self.control.target

    def take(self) -> Trial | None:
        if self.control.halt:
            return None
        if self._ends_by_frames():
            return None
        self._settle()
        return self.queue.take(self._left)

    def _left(self) -> float:
        """Budgets that one more trial can train before the study's hours or frames are used."""
        control = self.control
        seconds = frames = math.inf
        if control.deadline is not None:
            seconds = control.deadline - time.time()
        if control.frames is not None:
            frames = control.frames - self.queue.frames()
        if math.isinf(seconds) and math.isinf(frames):
            return math.inf
        trials = self.queue.study.get_trials(deepcopy=False)
        return budgets_left(trials, self.spec.budget, seconds=seconds, frames=frames)

    def may_take(self) -> bool:
        """Whether `take` may find a trial."""
        return not self.control.halt and self.queue.may_take()

    def _settle(self) -> None:
        """Let no new trial begin, if that is asked for and the search has settled. What has begun goes on."""
        if not self.control.until_settled or self.control.has_settled:
            return
        trials = self.queue.study.get_trials(deepcopy=False)
        why = why_settled(trials, self.spec.objective.figure)
        if why is not None and (target := self.queue.settle(why)) is not None:
            self.show(f"settled after {counted(target, 'trial')}: {why}")

    def _ends_by_frames(self) -> bool:
        """Whether the trials have trained as many frames as they may. Then all workers can read so."""
        frames = self.control.frames
        if frames is None or self.queue.frames() < frames:
            return False
        if not self.control.has_trained_all:
            note_frames_reached(self.queue.study, frames)
        return True

    def recover(self) -> None:
        """Return the trials of dead workers to the queue, and notify people of it."""
        if numbers := self.queue.recover():
            self.notify_lost(numbers)

    def end_paused(self) -> None:
        """End the trials that have paused, if nothing is left that is worth training on."""
        if self.control.halt is None:
            self.loop.end_paused()

    def show_waiting(self) -> int:
        """Show that this process has nothing to do for now, where trials run elsewhere. Returns how many do."""
        elsewhere = self.queue.running_elsewhere() if self.control.halt is None else 0
        if elsewhere:
            waited = f"{counted(elsewhere, 'trial')} that other workers run"
            self.show(f"waiting for {waited}; one whose worker dies is taken over")
        return elsewhere

    def left(self) -> int:
        """How many trials there may be to run: those that wait, and those that run elsewhere and may be interrupted."""
        return 0 if self.control.halt else max(0, self.queue.left())

    def has_work(self) -> bool:
        """Whether there may be a trial to run."""
        return self.left() > 0


@contextmanager
def open_session(
    context: Context,
    spec: StudySpec,
    study: optuna.Study,
    dispatcher: Dispatcher,
    mlflow: MlflowSink | None,
    *,
    live: bool,
) -> Iterator[Session]:
    """Work on a submitted study. Terminal, dashboard, TensorBoard, `mlflow` and notifications follow it in the block.

    live: the terminal shows a live table, which only one study of a process can have.
    """
    share_reads(study)
    curves = StudyCurves(study, context.storage, spec.objective.figure)
    queue = Queue(study, context.storage, read_control(study).target, PausedTrials(spec, curves))
    for number in (lost := queue.recover()):
        context.console.print(f"trial {number} was interrupted; it will be continued", highlight=False)
    table = _table(context, spec, study, queue, live=live)
    try:
        hint = hint_for_readers(context.settings.workspace, context.settings.storage)
        notes = NoteSink(spec, study, context.storage, context.workspace, hint)
        board = TensorBoardSink(study, spec, context.workspace)
        with (
            table,
            notifying(dispatcher, spec, queue, context.storage, context.workspace) as notifications,
            detached([table, notes, board]) as sinks,
        ):
            if lost:
                notifications.workers_lost(lost)
            gallery = Gallery(context.settings.artifact_folder, study)
            sinks += [*notifications.sinks, *([mlflow] if mlflow else [])]
            earlier = earlier_curves(sources_of(context.storage, spec), spec)
            loop = TrialLoop(spec, queue, curves, context.workspace, context.executor, sinks, gallery, earlier)
            yield Session(spec, queue, loop, table.say, notifications.workers_lost, mlflow)
    finally:
        queue.close()


def _table(context: Context, spec: StudySpec, study: optuna.Study, queue: Queue, *, live: bool) -> ConsoleSink:
    kept = TallyCache()
    return ConsoleSink(
        context.console,
        spec.name,
        budget=spec.budget,
        target=lambda: queue.target,
        tally=lambda: _tally(study, queue, kept),
        live=live,
        objective=figures.objective(objective_of(study).metric),
    )


def _tally(study: optuna.Study, queue: Queue, kept: TallyCache) -> Tally:
    revivals = queue.revivals  # before the trials: these are then at least as new
    try:
        tally = tally_of(study.get_trials(deepcopy=False), rows=_SHOWN_ENDED, kept=kept)
        return replace(tally, revivals=revivals)
    except KeyError:  # by which Optuna reports that the study was deleted
        return Tally()
