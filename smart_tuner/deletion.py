"""Deleting a study: its rows in the store, its folders and artifacts in the workspace. Its runs in MLflow are kept."""

import shutil
from pathlib import Path

import optuna
from optuna.trial import TrialState

from smart_tuner.config import Settings
from smart_tuner.dashboard.gallery import announced
from smart_tuner.errors import StudyError
from smart_tuner.store.queue import Queue
from smart_tuner.store.retrying import RetryingStorage
from smart_tuner.store.storage import GRACE_SECONDS
from smart_tuner.workspace import Workspace


def describe(study: optuna.Study, storage: RetryingStorage, settings: Settings) -> str:
    """What would be deleted. Raises StudyError while trials run."""
    _refuse_running(study, storage)
    trials = len(study.get_trials(deepcopy=False))
    folders = [f"  {folder}  ({_gigabytes(folder):.2f} GB)" for folder in _folders(study, settings)]
    if artifacts := _artifacts(study, settings):
        folders.append(f"  {settings.artifact_folder}: {len(artifacts)} of its files")
    return "\n".join(
        [
            f"Study {study.study_name!r}: {trials} trial{'s' * (trials != 1)}, and these folders:",
            *(folders or ["  (none)"]),
        ]
    )


def delete_study(study: optuna.Study, storage: RetryingStorage, settings: Settings) -> None:
    """The rows first: folders without a study only take space, but a study without folders cannot be used."""
    _refuse_running(study, storage)
    folders = _folders(study, settings)
    artifacts = _artifacts(study, settings)
    optuna.delete_study(study_name=study.study_name, storage=storage)
    for folder in folders:
        shutil.rmtree(folder)
    for artifact in artifacts:
        artifact.unlink(missing_ok=True)


def _refuse_running(study: optuna.Study, storage: RetryingStorage) -> None:
    Queue(study, storage, len(study.get_trials(deepcopy=False))).recover()  # trials of dead workers do not run
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if running:
        numbers = ", ".join(str(trial.number) for trial in running)
        are_running = f"trial {numbers} is running" if len(running) == 1 else f"trials {numbers} are running"
        raise StudyError(
            f"study {study.study_name!r}: {are_running}. Stop the study first (`smart-tuner stop --study "
            f"{study.study_name}`). A dead worker on another machine is recognised after {GRACE_SECONDS} s."
        )


def _folders(study: optuna.Study, settings: Settings) -> list[Path]:
    return [folder for folder in Workspace(settings.workspace).of_study(study.study_name) if folder.exists()]


def _artifacts(study: optuna.Study, settings: Settings) -> list[Path]:
    """Its artifacts that are in this machine's folder, or in one that machines share."""
    trials = study.get_trials(deepcopy=False)
    paths = [settings.artifact_folder / meta.artifact_id for trial in trials for meta in announced(trial.system_attrs)]
    return [path for path in paths if path.exists()]


def _gigabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e9
