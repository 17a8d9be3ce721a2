"""Runs studies in this process: opens what their trials need, has the pool run them, closes everything in order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import optuna

from smart_tuner.errors import WorkerBroken
from smart_tuner.history import History
from smart_tuner.machine.capacity import Capacity, largest_preset
from smart_tuner.mlflow_mirror.process import SyncJob
from smart_tuner.mlflow_mirror.sink import MlflowSink
from smart_tuner.notify.dispatcher import Dispatcher, open_dispatcher
from smart_tuner.notify.message import Level
from smart_tuner.notify.texts import WORKER_BROKEN, WORKER_LEFT
from smart_tuner.run.context import Context
from smart_tuner.run.mlflow_wait import catch_up
from smart_tuner.run.pool import Ending, Pool
from smart_tuner.run.session import Session, open_session
from smart_tuner.sampler import sampler_of
from smart_tuner.sinks import DRAIN_SECONDS
from smart_tuner.spec import StudySpec
from smart_tuner.study import unsearched

# How long MLflow has to catch up.
_MLFLOW_SECONDS = {Ending.DONE: 60.0, Ending.POLITE: 10.0, Ending.BROKEN: 10.0, Ending.AT_ONCE: 0.0}
_SHOWN_FAILURES = 3


@dataclass(frozen=True)
class Ended:
    """How it ended. sessions: one for each study, in their order, all closed."""

    how: Ending
    sessions: Sequence[Session]


def run_studies(context: Context, studies: Sequence[tuple[StudySpec, optuna.Study]], capacity: Capacity) -> Ended:
    """Run trials of the studies, those of the first study first, until none is left or somebody requests a stop.

    With a single study, the terminal shows a live table. Raises WorkerBroken where attempt after attempt failed; the
    trials go back to the queue, for other workers.
    """
    for spec, study in studies:
        study.sampler = sampler_of(spec, History(spec, unsearched(study)))
    how = Ending.AT_ONCE  # unless the pool returns
    with ExitStack() as stack:
        dispatcher = stack.enter_context(
            open_dispatcher(context.settings, capacity.jobs, lambda: 0.0 if how is Ending.AT_ONCE else DRAIN_SECONDS)
        )
        mirrors = stack.enter_context(mirrored(context, [study for _, study in studies], lambda: _MLFLOW_SECONDS[how]))
        live = len(studies) == 1
        sessions = [
            stack.enter_context(open_session(context, spec, study, dispatcher, mlflow, live=live))
            for (spec, study), mlflow in zip(studies, mirrors, strict=True)
        ]
        stack.callback(context.executor.close)
        admission = context.executor.admission(capacity, largest_preset(spec.preset for spec, _ in studies))
        pool = Pool(sessions, context, capacity, admission)
        how = pool.run()
        if how is Ending.POLITE:
            dispatcher.send_text(Level.INFO, WORKER_LEFT)
        if how is Ending.BROKEN:
            raise _broken(pool.failures, dispatcher)
    return Ended(how, sessions)


@contextmanager
def mirrored(
    context: Context, studies: Sequence[optuna.Study], seconds: Callable[[], float]
) -> Iterator[list[MlflowSink | None]]:
    """A sink for each study that keeps MLflow up to date, or None where MLflow is switched off.

    seconds: called at the end; how long all of them together have to catch up. `smart-tuner sync` does the rest later.
    """
    settings = context.settings
    if not settings.mlflow:
        yield [None for _ in studies]
        return
    sinks = [MlflowSink(SyncJob(settings.storage_url, study.study_name, settings.mirror)) for study in studies]
    try:
        yield [*sinks]
    finally:
        catch_up(sinks, seconds(), context.console)


def _broken(failures: Sequence[str], dispatcher: Dispatcher) -> WorkerBroken:
    dispatcher.send_text(Level.FAILURE, WORKER_BROKEN, count=len(failures), reason=failures[-1])
    last = "\n".join(f"  {reason}" for reason in failures[-_SHOWN_FAILURES:])
    return WorkerBroken(
        f"{len(failures)} attempts in a row failed here, so this worker stops; the cause may be this machine. "
        f"Unfinished trials go on elsewhere, or here with the same command. The last failures:\n{last}"
    )
