"""A study with its trials' files, an MLflow store beside it, and the mirror of each trial in that store."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from smart_tuner.mlflow_mirror.mirror import MlflowMirror
from smart_tuner.mlflow_mirror.process import SyncJob
from smart_tuner.mlflow_mirror.settings import MirrorSettings
from smart_tuner.results import feasible_trials
from trainer.protocol import Event, EventKind, EventWriter, RunDir

SPACE = {
    "optimizer.lr": FloatDistribution(1e-6, 1e-1, log=True),
    "batch.size": IntDistribution(1, 64),
    "guided_attention.enabled": CategoricalDistribution([True, False]),
}
T0 = 1_700_000_000.123


@dataclass(frozen=True)
class Lab:
    """A study with a workspace, and an MLflow store beside it."""

    study: optuna.Study
    workspace: Path
    uri: str

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def mirror(self, uri: str | None = None, checkpoints: int = 1) -> MlflowMirror:
        return MlflowMirror(self.settings(uri, checkpoints), self.study, feasible_trials)

    def settings(self, uri: str | None = None, checkpoints: int = 1) -> MirrorSettings:
        return MirrorSettings(uri or self.uri, self.workspace, checkpoints)

    def job(self, uri: str | None = None, **timing: float) -> SyncJob:
        storage = f"sqlite:///{self.workspace / 'studies.db'}"
        job = SyncJob(storage, self.study.study_name, self.settings(uri), niceness=0)
        return replace(job, **timing)  # type: ignore[arg-type]

    def begin(self, lr: float = 1e-3, started: bool = True) -> optuna.Trial:
        """started: whether the trainer has written its first event."""
        self.study.enqueue_trial({"optimizer.lr": lr, "batch.size": 16, "guided_attention.enabled": True})
        trial = self.study.ask(SPACE)
        run_dir = f"runs/{self.study.study_name}/trial-{trial.number:04d}"
        trial.set_user_attr("run_dir", run_dir)
        record = self.record(trial.number)
        record.create()
        record.config.write_text(json.dumps({"optimizer": {"lr": lr}, "seed": 1}))
        record.log.write_text("epoch 1\n")
        if started:
            data = {"config": {"seed": 7}, "resumed": False, "device": "cpu", "torch": "2.9", "threads": 2}
            self.write(trial.number, [Event(EventKind.STARTED, 0, 0, data, T0)])
        return trial

    def record(self, number: int) -> RunDir:
        return RunDir(self.workspace / self.study.get_trials()[number].user_attrs["run_dir"])

    def write(self, number: int, events: list[Event]) -> None:
        writer = EventWriter(self.record(number).events)
        for event in events:
            writer.write(event)
        writer.close()

    def finish(self, trial: optuna.Trial, value: float, feasible: bool = True) -> None:
        trial.set_user_attr("feasible", feasible)
        trial.set_user_attr("metrics", {"validation_loss": value, "alignment": 0.75})
        self.study.tell(trial, value)

    def runs(self) -> list[Run]:
        experiment = self.client.get_experiment_by_name(self.study.study_name)
        return list(self.client.search_runs([experiment.experiment_id])) if experiment else []

    def run(self, number: int) -> Run:
        """The run of a trial, found by its tag in the experiment."""
        (run,) = [run for run in self.runs() if run.data.tags.get("trial") == str(number)]
        return run

    def curve(self, number: int, name: str) -> list[tuple[int, float, int]]:
        history = self.client.get_metric_history(self.run(number).info.run_id, name)
        return sorted((point.step, point.value, point.timestamp) for point in history)

    def in_sql(self, statement: str, run_id: str) -> None:
        """Change MLflow's store directly, where MLflow has no function for it."""
        with closing(sqlite3.connect(self.workspace / "mlflow.db")) as store, store:
            store.execute(statement, (run_id,))

    def shown(self) -> list[Any]:
        """What MLflow shows of the trials, without the ids of runs."""
        runs = sorted((run for run in self.runs() if "trial" in run.data.tags), key=lambda run: run.data.tags["trial"])
        return [
            (
                run.info.run_name,
                (run.info.status, run.info.start_time, run.info.end_time),
                run.data.params,
                run.data.tags,
                {name: self.curve(int(run.data.tags["trial"]), name) for name in run.data.metrics},
                sorted(file.path for file in self.client.list_artifacts(run.info.run_id)),
            )
            for run in runs
        ]

    def best(self) -> list[str]:
        return [run.info.run_name for run in self.runs() if run.data.tags.get("best") == "true"]

    def everything(self) -> dict[str, Any]:
        """Everything MLflow holds of the experiment, including deleted runs and times of files."""
        experiment = self.client.get_experiment_by_name(self.study.study_name)
        runs = self.client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
        files = sorted((self.workspace / "mlartifacts").rglob("*"))
        return {
            "files": [(str(path), path.stat().st_mtime_ns) for path in files if path.is_file()],
            **{
                run.info.run_id: (
                    dict(run.info),
                    run.data.params,
                    run.data.tags,
                    {
                        name: sorted(
                            str(dict(point)) for point in self.client.get_metric_history(run.info.run_id, name)
                        )
                        for name in run.data.metrics
                    },
                )
                for run in runs
            },
        }


def progress(update: int, loss: float = 1.0, at: float = 0.0) -> Event:
    data = {"loss": loss, "lr": 1e-3, "gradient_norm": 0.5, "frames_per_second": 250.0, "memory_bytes": 1e9}
    return Event(EventKind.PROGRESS, update * 100, update, data, T0 + update + at)


def validation(index: int, update: int, loss: float, at: float = 0.0) -> Event:
    data = {"index": index, "best": True, "loss": loss, "alignment": 0.1 * index}
    return Event(EventKind.VALIDATION, update * 100, update, data, T0 + update + at)


def sync(mirror: MlflowMirror, *numbers: int) -> None:
    assert tuple(mirror.sync_trials(numbers)) == numbers
