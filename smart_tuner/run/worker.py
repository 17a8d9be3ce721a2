"""A worker: runs trials of submitted studies until each has its number. Any number of workers, on any machines."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress

import optuna
from rich.console import Console

from smart_tuner.config import Settings
from smart_tuner.errors import Interrupted, StudyError, UserError
from smart_tuner.executors import Executor
from smart_tuner.machine.capacity import Capacity
from smart_tuner.run.context import Context, open_context
from smart_tuner.run.corpus import prepare_study
from smart_tuner.run.pool import Ending
from smart_tuner.run.studies import run_studies
from smart_tuner.spec import StudySpec
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.control import read_control
from smart_tuner.store.queue import Queue
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import no_study_in, open_to_read
from smart_tuner.study import existing_study, spec_of

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two searches for a study, of a worker that stays


def run_worker(
    settings: Settings, executor: Executor, console: Console, names: Sequence[str] = (), *, stay: bool = False
) -> dict[str, str | None]:
    """Run trials of the studies in `names`, or of every study in the store if there are none.

    Returns the studies that it worked on: by name, why the study was halted before it had its number of trials, or
    None where it has them.

    stay: wait for further studies when there is nothing to do. A study that is submitted meanwhile has its turn when
    those before it have their trials. Raises StudyError for a name that is not in the store, NoStudies where it holds
    no study and this worker does not stay, Interrupted after Ctrl-C, WorkerBroken where attempt after attempt fails
    here.
    """
    if not stay:
        _refuse_empty(settings.storage_url)  # before anything is made in a mistyped workspace
    context = open_context(settings, executor, console)
    for name in names:
        existing_study(context.storage, settings.storage_url, name)
    worked: dict[str, str | None] = {}
    refused: dict[str, UserError] = {}  # studies whose trials cannot run here
    waits = False
    while True:
        if studies := _prepared(_with_work(context.storage, names, refused), context, refused):
            worked |= _work(studies, context)
            waits = False
        elif names and refused:
            raise next(iter(refused.values()))
        elif not stay:
            if refused and not worked:
                raise next(iter(refused.values()))
            return worked
        else:
            if not waits:
                console.print("Waiting for a study that lacks trials; Ctrl-C ends the worker.")
            waits = True
            time.sleep(LOOK_SECONDS)


def _refuse_empty(url: str) -> None:
    if not optuna.get_all_study_names(open_to_read(url)):
        raise no_study_in(url)


def _with_work(
    storage: RetryingStorage, names: Sequence[str], refused: dict[str, UserError]
) -> list[tuple[StudySpec, optuna.Study]]:
    """The studies that lack trials and may run, in the order in which they were submitted."""
    found = []
    for name in names or optuna.get_all_study_names(storage):
        with suppress(KeyError):  # deleted meanwhile
            study = optuna.load_study(study_name=name, storage=storage)
            if name in refused or StudyAttr.DEFINITION not in study.user_attrs:
                continue  # without a definition, it is another program's study in the same store
            control = read_control(study)
            if control.halt or not Queue(study, storage, control.target).left():
                continue
            try:
                found.append((spec_of(study), study))
            except StudyError as error:
                _refuse(name, error, refused)
    return found


def _prepared(
    studies: Sequence[tuple[StudySpec, optuna.Study]], context: Context, refused: dict[str, UserError]
) -> list[tuple[StudySpec, optuna.Study]]:
    """The studies whose corpus can be used here."""
    prepared = []
    for spec, study in studies:
        try:
            prepare_study(context, spec, _capacity(studies, context))
        except UserError as error:
            _refuse(spec.name, error, refused)
        else:
            prepared.append((spec, study))
    return prepared


def _refuse(name: str, error: UserError, refused: dict[str, UserError]) -> None:
    """Leave the study out. The others go on."""
    refused[name] = error
    log.warning("study %r is left out by this worker: %s", name, error)


def _capacity(studies: Sequence[tuple[StudySpec, optuna.Study]], context: Context) -> Capacity:
    trials = sum(read_control(study).target for _, study in studies)
    return context.capacity([spec for spec, _ in studies], trials)


def _work(studies: Sequence[tuple[StudySpec, optuna.Study]], context: Context) -> dict[str, str | None]:
    ended = run_studies(context, studies, _capacity(studies, context))
    if ended.how is not Ending.DONE:
        raise Interrupted("Stopped. Unfinished trials go on elsewhere, or here with the same command.")
    return {session.spec.name: session.control.halt for session in ended.sessions}
