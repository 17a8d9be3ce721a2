"""SmartTunerMain: opens the study, runs the trials, feeds the sinks. The Python door to everything."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from smart_tuner.admission import Admission
from smart_tuner.config import Settings, load_settings
from smart_tuner.errors import Interrupted, SettingsError, StudyError, UserError
from smart_tuner.executors import Executor
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.machine import Capacity, capacity
from smart_tuner.masking import masked
from smart_tuner.preparation import anchored, prepare_corpus
from smart_tuner.results import StudyResult, study_result
from smart_tuner.sinks import detached
from smart_tuner.sinks.console import ConsoleSink
from smart_tuner.sinks.mlflow import MlflowMirror
from smart_tuner.sinks.mlflow_sink import MlflowSink, known_run_id, sync_now
from smart_tuner.spec import StudySpec, load_study
from smart_tuner.storage import open_storage
from smart_tuner.study import best_trial, open_study
from smart_tuner.trial import TrialLoop
from smart_tuner.trial_queue import Queue
from smart_tuner.workers import Ending, Workers
from smart_tuner.workspace import Workspace
from trainer.config import TrainerConfig, unflatten
from trainer.strict import nearest

# For the mirror to catch up at the end; `smart-tuner sync` does the rest at any time.
_MLFLOW_SECONDS = {Ending.DONE: 120.0, Ending.POLITE: 10.0, Ending.AT_ONCE: 0.0}


class SmartTunerMain:
    """One study in one workspace.

        SmartTunerMain("studies/quickstart.yaml", workspace="workspace").optimize(trials=50)

    study: a path, or the name of a shipped study. overrides: dotted keys of the study, as `--set` takes them.
    settings: how the installation runs; by default from `config/`, the environment and `workspace`.
    Raises StudyError or SettingsError at once where one of them is not well defined. One `optimize` at a
    time; other processes may work on the same study meanwhile.
    """

    def __init__(
        self,
        study: str | Path = "quickstart",
        workspace: str | Path | None = None,
        *,
        settings: Settings | None = None,
        overrides: Mapping[str, Any] | None = None,
        executor: Executor | None = None,
        console: Console | None = None,
    ) -> None:
        self.spec: StudySpec = load_study(str(study), overrides)
        self.settings = settings or load_settings(workspace=workspace)
        self.workspace = Workspace(self.settings.workspace)
        self.console = console or Console(stderr=True)
        self._executor = executor or LocalExecutor(self.settings.stop_grace_seconds)

    def optimize(self, trials: int | None = None) -> StudyResult:
        """Run until the study has `trials` finished trials, those of earlier starts counted.

        Trials that were interrupted are continued. Raises UserError for a mistake of the user's before any
        training, Interrupted after Ctrl-C; whatever was done until then is kept.
        """
        target = self.spec.trials if trials is None else trials
        if target < 1:
            raise UserError(f"`trials` must be at least 1, but got {target}.")
        _check_writable(self.settings.workspace)
        jobs = None if self.settings.jobs == "auto" else self.settings.jobs
        room = capacity(jobs, self.settings.device, self.spec.preset, target)
        storage = open_storage(self.settings.storage_url)
        self._prepare_corpus(room)  # before the study is made: a mistyped corpus must leave nothing behind
        study = open_study(storage, self.spec)
        queue = Queue(study, storage, target)
        queue.file()
        for number in queue.recover():
            self.console.print(f"trial {number} was interrupted; it will be continued", highlight=False)
        mirrored = self._run(study, queue, room)
        return self._result_of(study, mirrored)

    def _run(self, study: optuna.Study, queue: Queue, room: Capacity) -> bool:
        """Run the trials; return whether MLflow has everything. Raises Interrupted where trials are left over."""
        mlflow = MlflowSink(self._mirror(study)) if self.settings.mlflow else None
        workers, mirrored = None, False
        try:
            with self._live_table(study, queue) as console, detached([console, *([mlflow] if mlflow else [])]) as sinks:
                workers = Workers(
                    queue,
                    TrialLoop(self.spec, study, self.workspace, self._executor, sinks),
                    room,
                    Admission(self.spec.preset),
                    on_interrupt=console.say_stopping,
                )
                workers.run()
        finally:
            self._executor.close()
            if mlflow is not None:
                with self.console.status("MLflow catches up"):
                    mirrored = mlflow.close(_MLFLOW_SECONDS[workers.ending if workers else Ending.AT_ONCE])
        if workers.ending is not Ending.DONE and queue.unfinished():
            finished = len(queue.finished())
            raise Interrupted(f"Stopped with {finished} of {queue.target} trials finished; the same command continues.")
        return mirrored

    def study(self) -> optuna.Study:
        """The study as the store has it. Raises UserError where it was never begun."""
        return existing_study(self.settings.storage_url, self.spec.name)

    def result(self) -> StudyResult:
        """What the study has found so far. Raises as `study`."""
        return self._result_of(self.study(), mirrored=self.settings.mlflow)

    def sync(self) -> None:
        """Bring MLflow up to date. Raises as `study`, and MlflowUnavailable where MLflow does not answer."""
        sync_now(self._mirror(self.study()))

    def _result_of(self, study: optuna.Study, mirrored: bool) -> StudyResult:
        mirror = self._mirror(study) if mirrored else None
        return study_result(study, self.settings.workspace, lambda n: known_run_id(mirror, n) if mirror else None)

    def _mirror(self, study: optuna.Study) -> MlflowMirror:
        return MlflowMirror(self.settings.mlflow_url, study, self.settings.workspace, best_trial)

    def _prepare_corpus(self, room: Capacity) -> None:
        """Check the corpus, and build the features that all trials share; nothing that is searched changes them.

        A voice to begin with is checked, too: beside it no shape of the model is searched.
        """
        looked_at = ("corpus.", "audio.", "model.", "warm_start")
        shared = {k: v for k, v in self.spec.fixed.items() if k.startswith(looked_at)}
        raw = unflatten({"preset": self.spec.preset, "corpus.source": self.spec.corpus, **shared})
        raw["device"] = {"name": room.devices[0]}
        raw["paths"] = asdict(self.workspace.paths(self.spec.name, 0))
        config = TrainerConfig.from_mapping(raw, f"study {self.spec.name!r}")
        prepared = prepare_corpus(anchored(config), self.console)
        left_out = f", {prepared['skipped']} longer ones left out" if prepared["skipped"] else ""
        self.console.print(
            f"{self.spec.corpus}: {prepared['minutes']:.1f} minutes of speech, {prepared['train']} clips to train and "
            f"{prepared['validation']} to validate{left_out}; {room}.",
            highlight=False,
        )

    def _live_table(self, study: optuna.Study, queue: Queue) -> ConsoleSink:
        return ConsoleSink(
            self.console,
            self.spec.name,
            budget=self.spec.budget,
            target=queue.target,
            finished=len(queue.finished()),
            best=lambda: best_trial(study),
        )


def existing_study(url: str, name: str) -> optuna.Study:
    """Raises StorageError where there is no store yet, and StudyError naming the studies that there are."""
    storage = open_storage(url, create=False)
    names = optuna.get_all_study_names(storage)
    if name not in names:
        there = nearest(name, names) if names else "it holds none yet"
        raise StudyError(f"{masked(url)}: holds no study {name!r}; {there}. Name another one with --study or --name.")
    return optuna.load_study(study_name=name, storage=storage)


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            f"workspace {str(folder)!r}: cannot be written to ({error.strerror}). "
            "Give another folder with --workspace, or mend its permissions."
        ) from error
