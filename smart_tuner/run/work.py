"""The work of one process on one or several studies: everything opened in order, the trials run, everything closed."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import optuna
from rich.console import Console

from smart_tuner.config import Settings
from smart_tuner.errors import WorkerBroken
from smart_tuner.executors import Executor
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.executors.ray.executor import RayExecutor
from smart_tuner.machine.admission import Admission
from smart_tuner.machine.capacity import Capacity, capacity, memory_estimate
from smart_tuner.notify.dispatcher import Dispatcher, open_dispatcher
from smart_tuner.notify.message import Level
from smart_tuner.notify.texts import WORKER_BROKEN, WORKER_LEFT
from smart_tuner.run.pool import Ending, Pool
from smart_tuner.run.session import Session, mirrored, open_session
from smart_tuner.sinks import DRAIN_SECONDS
from smart_tuner.spec import StudySpec
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.workspace import Workspace

_MLFLOW_SECONDS = {Ending.DONE: 120.0, Ending.POLITE: 10.0, Ending.BROKEN: 10.0, Ending.AT_ONCE: 0.0}
_SHOWN_FAILURES = 3


def make_executor(settings: Settings) -> Executor:
    if settings.executor == "ray":
        each = settings.trials_per_device or 1
        return RayExecutor(settings.ray_address, settings.stop_grace_seconds, trials_per_device=each)
    return LocalExecutor(settings.stop_grace_seconds)


def capacity_for(settings: Settings, executor: Executor, specs: Sequence[StudySpec], trials: int) -> Capacity:
    """How many trials at once, and where: by the study that needs the most memory."""
    jobs = None if settings.jobs == "auto" else settings.jobs
    if isinstance(executor, RayExecutor):
        return _room_on_a_cluster(settings, executor, jobs, trials)
    devices, each = settings.devices, settings.trials_per_device
    return capacity(jobs, settings.device, _largest(specs), trials, devices=devices, trials_per_device=each)


def _room_on_a_cluster(settings: Settings, executor: RayExecutor, jobs: int | None, trials: int) -> Capacity:
    """As many as the cluster holds; it decides itself where each one runs, and by which memory."""
    device = settings.device
    if device == "auto":
        device = "cuda" if executor.places("cuda", 1) else "cpu"
    jobs = max(1, min(jobs or executor.places(device, 1), trials))
    return Capacity(jobs, 1, (device,) * jobs)


def _largest(specs: Sequence[StudySpec]) -> str:
    return max((spec.preset for spec in specs), key=memory_estimate)


class Work:
    """`run` once. Afterwards `ending` and `sessions` say what came of it."""

    def __init__(
        self,
        sessions: Sequence[Session],
        storage: RetryingStorage,
        workspace: Workspace,
        room: Capacity,
        admission: Admission,
        post: Dispatcher,
    ) -> None:
        self.sessions, self._storage, self._post = sessions, storage, post
        self._workers = Pool(sessions, workspace, room, admission, on_interrupt=self._on_interrupt)

    @property
    def ending(self) -> Ending:
        return self._workers.ending

    def run(self) -> None:
        """Raises WorkerBroken where attempt after attempt failed; the trials go back to the queue, for others."""
        self._workers.run()
        if self.ending is Ending.POLITE:
            self._post.say(Level.INFO, WORKER_LEFT)
        if self.ending is Ending.BROKEN:
            failures = self._workers.failures
            self._post.say(Level.FAILURE, WORKER_BROKEN, count=len(failures), reason=failures[-1])
            last = "\n".join(f"  {reason}" for reason in failures[-_SHOWN_FAILURES:])
            raise WorkerBroken(
                f"{len(failures)} attempts in a row failed here, so this worker stops; it may be this machine. Trials "
                f"that are not finished go on elsewhere, or here with the same command. The last failures:\n{last}"
            )

    def _on_interrupt(self, at_once: bool) -> None:
        if at_once:
            self._storage.give_up.set()  # whoever waits for the store waits no more
        notice = "stopping at once" if at_once else "stopping, the trials save their state (Ctrl-C again: at once)"
        for session in self.sessions:
            session.say(notice)


@contextmanager
def work_on(
    studies: Sequence[tuple[StudySpec, optuna.Study]],
    storage: RetryingStorage,
    settings: Settings,
    room: Capacity,
    executor: Executor,
    console: Console,
) -> Iterator[Work]:
    """Open what the work needs, and close it in the end. Where there is one study, the terminal shows a live table."""
    work: Work | None = None

    def mlflow_seconds() -> float:
        return _MLFLOW_SECONDS[work.ending if work else Ending.AT_ONCE]

    def notify_seconds() -> float:
        return 0.0 if work is None or work.ending is Ending.AT_ONCE else DRAIN_SECONDS

    with ExitStack() as stack:
        post = stack.enter_context(open_dispatcher(settings, room.jobs, notify_seconds))
        mirrors = stack.enter_context(mirrored([study for _, study in studies], settings, console, mlflow_seconds))
        live = len(studies) == 1
        sessions = [
            stack.enter_context(
                open_session(spec, study, storage, settings, executor, console, post, mlflow, live=live)
            )
            for (spec, study), mlflow in zip(studies, mirrors, strict=True)
        ]
        stack.callback(executor.close)
        preset = _largest([spec for spec, _ in studies])
        admission = Admission(preset, free=lambda _: None) if executor.elsewhere else Admission(preset, room=room)
        work = Work(sessions, storage, Workspace(settings.workspace), room, admission, post)
        yield work
