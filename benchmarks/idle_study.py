"""Runs a study with trainers that do nothing, for benchmarks of the tuner itself.

Nothing here needs torch, so that a benchmark can start many of these workers.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from rich.console import Console

from smart_tuner.config import load_settings
from smart_tuner.executors import Executor
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.run.context import Context
from smart_tuner.run.studies import run_studies
from smart_tuner.spec import StudySpec, load_study
from smart_tuner.store.control import Budget, request_run
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study
from trainer.objectives import VALIDATION_LOSS

IDLE_TRAINER = Path(__file__).with_name("idle_trainer.py")


def idle_study(reports: int, trials: int, **overrides: Any) -> StudySpec:
    """The shipped study `quickstart`, its twelve parameters and its pruner, with `reports` reports per trial.

    It optimises the validation loss: the trainers of the benchmarks do not speak.
    """
    changes = {"objective.metric": VALIDATION_LOSS, "budget.reports": reports, "trials": trials, **overrides}
    return load_study("quickstart", changes)


def idle_command(reports: int, seconds: float) -> tuple[str, ...]:
    return sys.executable, "-I", "-S", str(IDLE_TRAINER), str(reports), f"{seconds:g}"


def idle_executor(reports: int, seconds: float) -> Executor:
    """Runs each trial as a process of this machine."""
    return LocalExecutor(command=idle_command(reports, seconds), standby=False)


def run_study(
    spec: StudySpec,
    executor: Executor,
    workspace: Path,
    jobs: int,
    *,
    storage: str | None = None,
    mlflow: bool = False,
    tracking_uri: str | None = None,
    counted: AbstractContextManager[object] | None = None,
) -> Mapping[str, int]:
    """Run all trials of the study -> the number of trials in each state.

    No corpus is prepared. storage: None is SQLite inside the workspace. counted: entered when the study is open, left
    when all trials have ended and MLflow has everything.
    """
    settings = load_settings(
        workspace=workspace, storage=storage, mlflow=mlflow, tracking_uri=tracking_uri, device="cpu", jobs=jobs
    )
    store = open_storage(settings.storage_url)
    study = open_study(store, spec)
    request_run(study, Budget(spec.trials), joins=False)
    context = Context(settings, executor, Console(quiet=True), store)
    with counted or nullcontext():
        run_studies(context, [(spec, study)], context.capacity([spec], spec.trials))
    states = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
    store.engine.dispose()
    return states


def trials_of(url: str, study: str) -> list[FrozenTrial]:
    """The trials in the store."""
    store = open_storage(url)
    found = optuna.load_study(study_name=study, storage=store).get_trials(deepcopy=False)
    store.engine.dispose()
    return found
