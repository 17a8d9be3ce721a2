"""One study that this process works on: its queue, its loop, who is told of it, and what people ask of it meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import optuna
from optuna.trial import Trial
from rich.console import Console

from smart_tuner.config import Settings
from smart_tuner.executors import Executor
from smart_tuner.notify.herald import heralded
from smart_tuner.notify.post import Post
from smart_tuner.sinks import detached
from smart_tuner.sinks.mlflow import MlflowMirror
from smart_tuner.sinks.mlflow_sink import MlflowSink
from smart_tuner.spec import StudySpec
from smart_tuner.store.orders import Asked, Orders, read_orders
from smart_tuner.store.patience import PatientStorage
from smart_tuner.store.queue import Queue
from smart_tuner.study import best_trial
from smart_tuner.terminal.live import ConsoleSink
from smart_tuner.trial import TrialLoop
from smart_tuner.workspace import Workspace


@dataclass(eq=False)
class Session:
    """`look` is one thread's; all else may be called from any."""

    spec: StudySpec
    queue: Queue
    loop: TrialLoop
    say_stopping: Callable[[], None] = lambda: None  # to who looks at the terminal
    say_lost: Callable[[Sequence[int]], None] = lambda numbers: None  # whose workers were lost; to who is far away
    mirrored: bool = False  # whether MLflow has everything; known when the session is over
    orders: Orders = field(init=False)

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> None:
        """See what is asked now."""
        try:
            self.orders = read_orders(self.queue.study)
        except KeyError:  # as Optuna says that the study was deleted
            self.orders = Orders(asked=Asked.STOP_NOW)
        self.queue.target = self.orders.target

    def take(self) -> Trial | None:
        return None if self.orders.halt else self.queue.take()

    def recover(self) -> None:
        """Give back the trials whose worker is gone, and say so."""
        if numbers := self.queue.recover():
            self.say_lost(numbers)

    def has_work(self) -> bool:
        """Whether a trial may yet come: one that waits, or one that runs elsewhere and may be interrupted."""
        return not self.orders.halt and self.queue.left() > 0


@contextmanager
def open_session(
    spec: StudySpec,
    study: optuna.Study,
    storage: PatientStorage,
    settings: Settings,
    executor: Executor,
    console: Console,
    post: Post,
    *,
    live: bool,
    mlflow_seconds: Callable[[], float],
) -> Iterator[Session]:
    """Work on a study that has its orders; until the block is left, terminal, MLflow and `post` are told of it.

    live: in a table that moves, which one study of a process can have. mlflow_seconds: asked at the end, how long
    MLflow has to catch up; `smart-tuner sync` does the rest at any time.
    """
    queue = Queue(study, storage, read_orders(study).target)
    for number in (lost := queue.recover()):
        console.print(f"trial {number} was interrupted; it will be continued", highlight=False)
    workspace = Workspace(settings.workspace)
    mlflow = MlflowSink(mirror(study, settings)) if settings.mlflow else None
    table = ConsoleSink(
        console,
        spec.name,
        budget=spec.budget,
        target=queue.target,
        finished=queue.finished(),
        best=lambda: best_trial(study),
        live=live,
    )
    session = None
    try:
        with (
            table,
            heralded(post, spec, queue, storage, workspace) as heralds,
            detached([table, *([mlflow] if mlflow else [])]) as sinks,
        ):
            if lost:
                heralds.workers_lost(lost)
            loop = TrialLoop(spec, queue, workspace, executor, [*sinks, *heralds.sinks])
            session = Session(spec, queue, loop, table.say_stopping, heralds.workers_lost)
            yield session
    finally:
        queue.close()
        if mlflow is not None:
            with console.status("MLflow catches up"):
                mirrored = mlflow.close(mlflow_seconds())
            if session is not None:
                session.mirrored = mirrored


def mirror(study: optuna.Study, settings: Settings) -> MlflowMirror:
    return MlflowMirror(settings.mlflow_url, study, settings.workspace, best_trial)
