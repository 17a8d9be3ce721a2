"""A worker: takes trials of studies that were filed, until each has its number. Any number of them, anywhere."""

import time
from collections.abc import Sequence

import optuna
from rich.console import Console

from smart_tuner.config import Settings
from smart_tuner.errors import Interrupted
from smart_tuner.executors import Executor
from smart_tuner.preparation import prepare_study
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.orders import read_orders
from smart_tuner.store.patience import PatientStorage
from smart_tuner.store.queue import Queue
from smart_tuner.store.storage import open_storage
from smart_tuner.study import existing_study, sampler_of, spec_of
from smart_tuner.work import room_for, work_on
from smart_tuner.workers import Ending
from smart_tuner.workspace import Workspace

LOOK_SECONDS = 5.0  # between two looks for a study, for one that stays


def run_worker(
    settings: Settings, executor: Executor, console: Console, names: Sequence[str] = (), *, stay: bool = False
) -> int:
    """Take trials of the studies called so (none: of every one in the store); return how many studies were worked on.

    stay: wait for further studies when there is nothing to do. A study that is filed meanwhile is taken up when those
    before it have their trials. Raises StudyError for a name that the store does not hold, Interrupted after Ctrl-C,
    WorkerBroken where attempt after attempt fails here.
    """
    Workspace(settings.workspace).refuse_unwritable()
    storage = open_storage(settings.storage_url)
    for name in names:
        existing_study(storage, settings.storage_url, name)
    worked: set[str] = set()
    while True:
        studies = _with_work(storage, names)
        if studies:
            _work(studies, storage, settings, executor, console)
            worked |= {spec.name for spec, _ in studies}
        elif not stay:
            return len(worked)
        else:
            time.sleep(LOOK_SECONDS)


def _with_work(storage: PatientStorage, names: Sequence[str]) -> list[tuple[StudySpec, optuna.Study]]:
    """The studies that lack trials and may run, in the order in which they were filed."""
    found = []
    for name in names or optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        if StudyAttr.DEFINITION not in study.user_attrs:
            continue  # somebody else's, in the same store
        orders = read_orders(study)
        if orders.halt or not Queue(study, storage, orders.target).left():
            continue
        found.append((spec_of(study), study))
    return found


def _work(
    studies: Sequence[tuple[StudySpec, optuna.Study]],
    storage: PatientStorage,
    settings: Settings,
    executor: Executor,
    console: Console,
) -> None:
    specs = [spec for spec, _ in studies]
    room = room_for(settings, executor, specs, sum(read_orders(study).target for _, study in studies))
    for spec, study in studies:
        prepare_study(spec, Workspace(settings.workspace), room, console)
        study.sampler = sampler_of(spec)
    with work_on(studies, storage, settings, room, executor, console) as work:
        work.run()
    if work.ending is not Ending.DONE:
        raise Interrupted("Stopped. Trials that are not finished go on elsewhere, or here with the same command.")
