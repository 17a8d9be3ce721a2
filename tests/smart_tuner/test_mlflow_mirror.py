"""The mirror in MLflow, looked at with plain MLflow, beside the truth it was made from."""

import io
import json
import logging
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from lab import is_alive
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from smart_tuner.errors import RunConflict
from smart_tuner.sinks.mlflow import MlflowMirror, Synced
from smart_tuner.sinks.mlflow_process import ORPHAN_SECONDS, News, Order, Rounds
from smart_tuner.sinks.mlflow_runs import connect
from smart_tuner.sinks.mlflow_sink import MlflowSink
from smart_tuner.study import feasible_trials
from trainer.protocol import Event, EventKind, EventWriter, RunDir

LOGGER = "smart_tuner.sinks.mlflow_sink"
CLOSED_PORT = "http://me:hunter2@127.0.0.1:9"
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
        return MlflowMirror(uri or self.uri, self.study, self.workspace, feasible_trials, checkpoints)

    def order(self, uri: str | None = None, **timing: float) -> Order:
        storage = f"sqlite:///{self.workspace / 'studies.db'}"
        order = Order(storage, self.study.study_name, uri or self.uri, str(self.workspace), niceness=0)
        return replace(order, **timing)  # type: ignore[arg-type]

    def begin(self, lr: float = 1e-3, told: bool = True) -> optuna.Trial:
        """told: whether the trainer has said that it has started."""
        self.study.enqueue_trial({"optimizer.lr": lr, "batch.size": 16, "guided_attention.enabled": True})
        trial = self.study.ask(SPACE)
        run_dir = f"runs/{self.study.study_name}/trial-{trial.number:04d}"
        trial.set_user_attr("run_dir", run_dir)
        record = self.record(trial.number)
        record.create()
        record.config.write_text(json.dumps({"optimizer": {"lr": lr}, "seed": 1}))
        record.log.write_text("epoch 1\n")
        if told:
            started = {"config": {"seed": 7}, "resumed": False, "device": "cpu", "torch": "2.9", "threads": 2}
            self.write(trial.number, [Event(EventKind.STARTED, 0, 0, started, T0)])
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
        """The run of a trial, found as a person would: by its tag in the experiment."""
        (run,) = [run for run in self.runs() if run.data.tags.get("trial") == str(number)]
        return run

    def curve(self, number: int, name: str) -> list[tuple[int, float, int]]:
        history = self.client.get_metric_history(self.run(number).info.run_id, name)
        return sorted((point.step, point.value, point.timestamp) for point in history)

    def in_sql(self, statement: str, run_id: str) -> None:
        """What MLflow itself does not do."""
        with closing(sqlite3.connect(self.workspace / "mlflow.db")) as store, store:
            store.execute(statement, (run_id,))

    def shown(self) -> list[Any]:
        """What a person sees of the trials, whichever runs it is in."""
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
        """All that MLflow holds of the experiment, deleted runs and times of files included."""
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


@pytest.fixture
def lab(tmp_path: Path, empty_store: Path) -> Lab:
    workspace = tmp_path / "a work space"
    workspace.mkdir()
    shutil.copy(empty_store, workspace / "mlflow.db")
    study = optuna.create_study(study_name="quickstart", storage=f"sqlite:///{workspace / 'studies.db'}")
    return Lab(study, workspace, f"sqlite:///{workspace / 'mlflow.db'}")


def test_best_parameters_are_readable_with_plain_mlflow(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lr = 0.1 + 0.2 - 0.29  # no short decimal fraction
    for rate, value in ((3e-4, 0.9), (lr, 0.4), (5e-5, 0.7)):
        lab.finish(lab.begin(rate), value)
    lab.mirror().sync_study()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    table = mlflow.search_runs(experiment_names=["quickstart"], filter_string="tags.best = 'true'")
    assert len(table) == 1
    assert float(table["params.optimizer.lr"][0]) == lr
    params = {name.removeprefix("params."): table[name][0] for name in table if name.startswith("params.")}
    assert params == {name: str(value) for name, value in lab.study.best_params.items()}


def test_every_point_of_every_curve(lab: Lab) -> None:
    trial = lab.begin()
    events = [progress(update, loss=1 / update) for update in range(1, 1205)]  # more than one request holds
    events += [validation(index, 300 * index, 1 / index) for index in (1, 2, 3)]
    free = {"alignment": 0.5, "reached_limit": 0.25, "converged": True, "text": "hello"}
    events.append(Event(EventKind.FREE_RUNNING, 120_000, 1204, free, T0 + 2000))
    lab.write(trial.number, events)
    lab.finish(trial, 0.3)
    lab.mirror().sync_study()

    expected = defaultdict(list)
    folders = {"progress": "train", "validation": "validation", "free_running": "free_running"}
    for event in events:
        at = round(event.time * 1000)
        expected["frames"].append((event.update, float(event.frames), at))
        for name, value in event.data.items():
            if isinstance(value, float):
                expected[f"{folders[event.kind]}/{name}"].append((event.update, value, at))
    finished = lab.study.get_trials()[0].datetime_complete
    assert finished is not None
    expected["value"] = [(0, 0.3, round(finished.timestamp() * 1000))]
    assert {name: lab.curve(0, name) for name in lab.run(0).data.metrics} == {
        name: sorted(set(points)) for name, points in expected.items()
    }


def test_states_times_reasons_and_the_parent(lab: Lab) -> None:
    complete, pruned, failed, running = (lab.begin(told=told) for told in (True, True, False, True))
    lab.begin(told=False)  # runs, and has nothing to show yet
    lab.study.enqueue_trial({"optimizer.lr": 0.01})  # waits, and has never begun
    complete.set_constraint("alignment", -0.25)
    lab.finish(complete, 0.5)
    pruned.report(2.0, 1)
    pruned.set_user_attr("alignment", {"1": 0.03})
    pruned.set_user_attr("reason", "alignment 0.03 after 4 reports, floor 0.2; " + "x" * 6000)
    lab.study.tell(pruned, state=TrialState.PRUNED)
    failed.set_user_attr("reason", "killed by SIGKILL")
    lab.study.tell(failed, state=TrialState.FAIL)
    lab.mirror().sync_study()

    trials = lab.study.get_trials()
    runs = [lab.run(number) for number in range(4)]
    assert [run.info.status for run in runs] == ["FINISHED", "KILLED", "FAILED", "RUNNING"]
    assert [run.data.tags["state"] for run in runs] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert [run.info.run_name for run in runs] == ["trial-0000", "trial-0001", "trial-0002", "trial-0003"]
    for run, trial in zip(runs, trials, strict=False):
        silent = trial.datetime_start if trial.number == 2 else None
        assert run.info.start_time == round(1000 * (silent.timestamp() if silent else T0))
        end = trial.datetime_complete and round(trial.datetime_complete.timestamp() * 1000)
        assert run.info.end_time == end
    assert runs[1].data.tags["reason"].startswith("alignment 0.03 after 4 reports")
    assert runs[2].data.tags["reason"] == "killed by SIGKILL"
    pruned_at = {name: value for name, value in runs[1].data.tags.items() if name.startswith("pruned.")}
    assert pruned_at == {"pruned.report": "1", "pruned.loss": "2.0", "pruned.alignment": "0.03"}
    assert runs[0].data.tags["constraint.alignment"] == "-0.25"
    environment = {name: value for name, value in runs[0].data.tags.items() if name.startswith("environment.")}
    told = {"device": "cpu", "torch": "2.9", "threads": "2", "seed": "7"}
    assert environment == {f"environment.{name}": value for name, value in told.items()}
    assert runs[0].data.tags["feasible"] == "true"
    assert runs[0].data.tags["figure.alignment"] == "0.75"
    assert runs[0].data.tags["run_dir"] == "runs/quickstart/trial-0000"
    assert "reason" not in runs[3].data.tags

    (parent,) = [run for run in lab.runs() if "trial" not in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    assert (parent.info.run_name, parent.info.status) == ("quickstart", "RUNNING")
    assert parent.data.tags["study"] == "quickstart"
    assert parent.data.tags["direction"] == "minimize"
    assert parent.data.tags["trials.complete"] == "1"
    assert len(lab.runs()) == 5
    assert running.number == 3


def test_parent_ends_with_its_last_trial(lab: Lab) -> None:
    trial = lab.begin()
    mirror = lab.mirror()
    sync(mirror, 0)
    lab.finish(trial, 0.5)
    mirror.sync_study()
    (parent,) = [run for run in lab.runs() if "trial" not in run.data.tags]
    assert (parent.info.status, parent.info.end_time) == ("FINISHED", lab.run(0).info.end_time)


def test_exactly_one_best_and_it_moves(lab: Lab) -> None:
    mirror = lab.mirror()
    for value, feasible, best in (
        (0.1, False, []),
        (0.9, True, ["trial-0001"]),
        (0.5, True, ["trial-0002"]),
        (0.7, True, ["trial-0002"]),
    ):
        trial = lab.begin()
        lab.finish(trial, value, feasible)
        sync(mirror, trial.number)
        assert lab.best() == best
    lab.client.set_tag(lab.run(0).info.run_id, "best", "true")
    lab.client.set_tag(lab.run(3).info.run_id, "best", "true")
    lab.mirror().sync_study()
    assert lab.best() == ["trial-0002"]


def test_best_finished_by_another_worker_is_mirrored_too(lab: Lab) -> None:
    lab.finish(lab.begin(), 0.1)
    lab.finish(lab.begin(), 0.9)
    sync(lab.mirror(), 1)
    assert lab.best() == ["trial-0000"]


def test_second_sync_changes_nothing(lab: Lab) -> None:
    for value in (0.5, 0.4):
        trial = lab.begin()
        lab.write(trial.number, [progress(1), validation(1, 1, math.nan), progress(2, math.inf)])
        lab.finish(trial, value)
    lab.write(lab.begin().number, [progress(1)])
    mirror = lab.mirror()
    mirror.sync_study()
    before = lab.everything()
    mirror.sync_study()
    sync(mirror, 1)
    lab.mirror().sync_study()
    assert lab.everything() == before


def test_points_survive_a_lost_bookmark(lab: Lab) -> None:
    """A sync that was cut off after the points and before the bookmark sends them again, to no effect."""
    lab.write(lab.begin().number, [progress(1), progress(2, math.nan)])
    lab.mirror().sync_study()
    before = lab.everything()
    lab.client.delete_tag(lab.run(0).info.run_id, "smart_tuner.events_sent")
    lab.mirror().sync_study()
    assert lab.everything() == before


def test_interrupted_trial_is_continued(lab: Lab) -> None:
    trial = lab.begin()
    lab.write(0, [progress(1), validation(1, 1, 3.0)])
    mirror = lab.mirror()
    sync(mirror, 0)
    run_id, start = mirror.run_id(0), lab.run(0).info.start_time
    assert (lab.run(0).info.status, lab.run(0).info.end_time) == ("RUNNING", None)
    assert start == round(T0 * 1000)  # older than what SQL has after the second start

    storage = lab.study._storage
    storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
    mirror.sync_study()
    assert (lab.run(0).info.status, lab.run(0).data.tags["state"]) == ("SCHEDULED", "WAITING")

    storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    lab.write(0, [validation(1, 1, 3.0, at=50), progress(2, at=50)])
    for _ in range(2):
        sync(lab.mirror(), 0)  # another process
    assert lab.run(0).info.status == "RUNNING"
    lab.finish(trial, 0.5)
    sync(mirror, 0)
    assert (lab.run(0).info.run_id, lab.run(0).info.start_time) == (run_id, start)
    assert lab.run(0).info.status == "FINISHED"
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1, 2]
    first, again = round((T0 + 1) * 1000), round((T0 + 51) * 1000)
    assert lab.curve(0, "validation/loss") == [(1, 3.0, first), (1, 3.0, again)]


def test_of_a_repeated_validation_the_later_counts(lab: Lab) -> None:
    lab.begin()
    lab.write(0, [validation(1, 10, 3.0), validation(1, 10, 2.5, at=5)])
    sync(lab.mirror(), 0)
    assert lab.run(0).data.metrics["validation/loss"] == 2.5


def test_a_live_sync_sends_only_what_is_new(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.begin()
    lab.write(0, [progress(update) for update in range(1, 50)])
    mirror = lab.mirror()
    sync(mirror, 0)
    sent: list[str] = []
    original = MlflowClient.log_batch

    def log_batch(self: MlflowClient, run_id: str, *args: Any, **batch: Any) -> Any:
        sent.extend(f"{metric.key}@{metric.step}" for metric in batch.get("metrics", ()))
        return original(self, run_id, *args, **batch)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    lab.write(0, [progress(50)])
    sync(mirror, 0)
    figures = ["frames_per_second", "gradient_norm", "loss", "lr", "memory_bytes"]
    assert sorted(sent) == ["frames@50", *(f"train/{name}@50" for name in figures)]


def test_half_written_line_waits_for_its_other_half(lab: Lab) -> None:
    lab.begin()
    lab.write(0, [progress(1)])
    line = progress(2).to_line().encode()
    with lab.record(0).events.open("ab") as file:
        file.write(line[:30])
    mirror = lab.mirror()
    sync(mirror, 0)
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1]
    with lab.record(0).events.open("ab") as file:
        file.write(line[30:])
    sync(mirror, 0)
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1, 2]


def test_events_begun_anew_are_read_from_the_start(lab: Lab) -> None:
    lab.begin()
    lab.write(0, [progress(update) for update in (1, 2, 3)])
    sync(lab.mirror(), 0)
    lab.record(0).events.unlink()
    lab.write(0, [progress(7)])
    sync(lab.mirror(), 0)
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1, 2, 3, 7]


def test_infinity_is_a_gap_and_not_a_mountain(lab: Lab) -> None:
    lab.begin()
    lab.write(0, [progress(1, 2.0), progress(2, math.inf), progress(3, math.nan)])
    sync(lab.mirror(), 0)
    values = {step: value for step, value, _ in lab.curve(0, "train/loss")}
    assert values[1] == 2.0
    assert math.isnan(values[2])
    assert math.isnan(values[3])


def test_more_tags_than_one_request_takes_and_stale_ones_go(lab: Lab) -> None:
    trial = lab.begin()
    trial.set_user_attr("metrics", {f"figure_{n}": n / 7 for n in range(150)})
    mirror = lab.mirror()
    sync(mirror, 0)
    lab.client.set_tag(lab.run(0).info.run_id, "mine", "kept")
    assert float(lab.run(0).data.tags["figure.figure_149"]) == 149 / 7
    trial.set_user_attr("metrics", {"alignment": 0.5})
    sync(mirror, 0)
    figures = {tag for tag in lab.run(0).data.tags if tag.startswith("figure.")}
    assert figures == {"figure.alignment"}
    assert lab.run(0).data.tags["mine"] == "kept"


def test_artifacts(lab: Lab) -> None:
    trial = lab.begin()
    record = lab.record(0)
    names = ["alignments/report-01.png", "alignments/report-02.png", "samples/one.wav", "../../../stolen.txt"]
    for name in names:
        (record.path / name).write_bytes(name.encode())
    kinds = ["alignment", "alignment", "sample", "sample"]
    events = [
        Event(EventKind.ARTIFACT, 1, 1, {"path": path, "what": what}, T0)
        for path, what in zip([*names, "samples/lost.wav"], [*kinds, "sample"], strict=True)
    ]
    lab.write(0, events)
    mirror = lab.mirror()

    def files() -> set[str]:
        root = lab.workspace / "mlartifacts" / lab.run(0).info.run_id / "artifacts"
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

    sync(mirror, 0)
    assert files() == {"config.json"}
    lab.finish(trial, 0.5)
    sync(mirror, 0)
    assert files() == {"config.json", "trainer.log", "alignments/report-02.png", "samples/one.wav"}
    config = lab.client.download_artifacts(lab.run(0).info.run_id, "config.json")
    assert json.loads(Path(config).read_text())["optimizer"] == {"lr": 1e-3}


def test_a_trial_whose_directory_is_on_another_machine(lab: Lab) -> None:
    trial = lab.begin()
    lab.write(0, [progress(1)])
    lab.finish(trial, 0.5)
    away = lab.workspace / "away"
    (lab.workspace / "runs").rename(away)
    lab.mirror().sync_study()
    assert (lab.run(0).info.status, lab.curve(0, "train/loss")) == ("FINISHED", [])
    away.rename(lab.workspace / "runs")
    lab.mirror().sync_study()
    assert len(lab.curve(0, "train/loss")) == 1
    assert {file.path for file in lab.client.list_artifacts(lab.run(0).info.run_id)} == {"config.json", "trainer.log"}


@pytest.mark.parametrize("what", ["experiment", "run"])
def test_what_was_deleted_comes_back(lab: Lab, what: str) -> None:
    lab.write(lab.begin().number, [progress(1)])
    mirror = lab.mirror()
    mirror.sync_study()
    run_id = lab.run(0).info.run_id
    if what == "experiment":
        lab.client.delete_experiment(lab.run(0).info.experiment_id)
    else:
        lab.client.delete_run(run_id)
    lab.write(0, [progress(2)])
    sync(mirror, 0)
    assert lab.run(0).info.run_id == run_id
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1, 2]


def test_runs_made_twice_are_repaired(lab: Lab) -> None:
    """Two workers that begin at once each make a parent and, filling up, a run for the same trial."""
    lab.write(lab.begin().number, [progress(1)])
    lab.mirror().sync_study()
    kept = {run.info.run_id for run in lab.runs()}
    for run in lab.runs():
        key = {tag: value for tag, value in run.data.tags.items() if tag in ("smart_tuner.study", "smart_tuner.trial")}
        lab.client.create_run(run.info.experiment_id, run.info.start_time + 1, key, run.info.run_name)
    assert len(lab.runs()) == 4
    lab.mirror().sync_study()
    assert {run.info.run_id for run in lab.runs()} == kept


@pytest.mark.parametrize("name", ["it's", 'it\'s a "quoted" study', "50%_off", "голос/1"])
def test_any_name(lab: Lab, name: str) -> None:
    study = optuna.create_study(study_name=name)
    other = Lab(study, lab.workspace, lab.uri)
    other.finish(other.begin(), 0.5)
    other.mirror().sync_study()
    other.mirror().sync_study()
    assert sorted(run.info.run_name for run in other.runs()) == sorted([name, "trial-0000"])


def test_two_studies_of_one_name_stay_apart_by_their_id(lab: Lab, tmp_path: Path) -> None:
    labs = []
    for identity in ("first", "second"):
        study = optuna.create_study(study_name="shared")
        study.set_user_attr("id", identity)
        labs.append(Lab(study, tmp_path / identity, lab.uri))
        labs[-1].finish(labs[-1].begin(lr=0.01 if identity == "first" else 0.02), 0.5)
        labs[-1].mirror().sync_study()
    runs = {run.data.tags["smart_tuner.trial"]: run for run in labs[0].runs() if "trial" in run.data.tags}
    assert {key: run.data.params["optimizer.lr"] for key, run in runs.items()} == {
        "shared@first/0": "0.01",
        "shared@second/0": "0.02",
    }
    assert labs[0].best() == ["trial-0000", "trial-0000"]


def test_a_run_of_an_earlier_study_is_refused_in_words(lab: Lab) -> None:
    lab.begin(lr=0.01)
    lab.mirror().sync_study()
    anew = Lab(optuna.create_study(study_name="quickstart"), lab.workspace / "new", lab.uri)
    anew.begin(lr=0.02)
    with pytest.raises(RunConflict, match=r"`optimizer.lr` is 0\.01 there and 0\.02 in the study"):
        anew.mirror().sync_study()


def test_the_best_trials_have_their_checkpoints(lab: Lab) -> None:
    def holding() -> list[int]:
        runs = [(int(run.data.tags["trial"]), run) for run in lab.runs() if "trial" in run.data.tags]
        paths = {number: lab.client.list_artifacts(run.info.run_id, "checkpoints") for number, run in runs}
        return sorted(number for number, files in paths.items() if [f.path for f in files] == ["checkpoints/best.pt"])

    one, two = lab.mirror(), lab.mirror(checkpoints=2)
    for value, feasible, expected in ((0.5, True, [0]), (0.1, False, [0]), (0.4, True, [2]), (0.3, True, [3])):
        trial = lab.begin()
        lab.record(trial.number).best_checkpoint.write_bytes(b"weights")
        lab.finish(trial, value, feasible)
        sync(one, trial.number)
        assert holding() == expected
    two.sync_study()
    assert holding() == [2, 3]
    lab.mirror(checkpoints=0).sync_study()
    assert holding() == []
    assert lab.best() == ["trial-0003"]


def test_repair_builds_everything_and_then_changes_nothing(lab: Lab) -> None:
    for value in (0.5, 0.4):
        trial = lab.begin()
        lab.write(trial.number, [progress(1), validation(1, 1, math.nan)])
        lab.record(trial.number).best_checkpoint.write_bytes(b"weights")
        lab.finish(trial, value)
    assert lab.mirror().sync_study(repair=True) == Synced(made=2, mended=0, untouched=0)
    before = lab.everything()
    assert lab.mirror().sync_study(repair=True) == Synced(made=0, mended=0, untouched=2)
    assert lab.mirror().sync_study() == Synced(made=0, mended=0, untouched=2)
    assert lab.everything() == before


def lose_points(lab: Lab, number: int) -> None:
    """As a server does that is put back to a backup: the bookmark says more than is there."""
    lab.in_sql("DELETE FROM metrics WHERE key = 'train/loss' AND run_uuid = ?", lab.run(number).info.run_id)


def lose_artifacts(lab: Lab, number: int) -> None:
    (lab.workspace / "mlartifacts" / lab.run(number).info.run_id / "artifacts" / "trainer.log").unlink()


def write_a_tag(lab: Lab, number: int) -> None:
    lab.client.set_tag(lab.run(number).info.run_id, "state", "FAIL")
    lab.client.set_tag(lab.run(number).info.run_id, "figure.wrong", "1")


def write_a_point(lab: Lab, number: int) -> None:
    lab.client.log_metric(lab.run(number).info.run_id, "train/loss", 9.0, step=9)


def write_a_param(lab: Lab, number: int) -> None:
    lab.client.log_param(lab.run(number).info.run_id, "optimizer.kind", "adam")


def end_it_anew(lab: Lab, number: int) -> None:
    lab.client.set_terminated(lab.run(number).info.run_id, "FAILED", 1)


def begin_it_at_another_time(lab: Lab, number: int) -> None:
    lab.in_sql("UPDATE runs SET start_time = 1 WHERE run_uuid = ?", lab.run(number).info.run_id)


def double_it(lab: Lab, number: int) -> None:
    run = lab.run(number)
    tags = {name: value for name, value in run.data.tags.items() if name in ("smart_tuner.trial", "trial")}
    lab.client.create_run(run.info.experiment_id, run.info.start_time + 1, tags, "again")


DAMAGES = (
    lose_points,
    lose_artifacts,
    write_a_tag,
    write_a_point,
    write_a_param,
    end_it_anew,
    begin_it_at_another_time,
    double_it,
)


def test_repair_mends(lab: Lab) -> None:
    for value in range(len(DAMAGES) + 1):
        trial = lab.begin()
        lab.write(trial.number, [progress(1), progress(2)])
        lab.finish(trial, 1.0 + value)
    lab.mirror().sync_study()
    before = lab.shown()
    for number, damage in enumerate(DAMAGES):
        damage(lab, number)
    assert lab.mirror().sync_study(repair=True) == Synced(made=0, mended=len(DAMAGES), untouched=1)
    assert lab.shown() == before
    assert lab.mirror().sync_study(repair=True) == Synced(made=0, mended=0, untouched=len(DAMAGES) + 1)


def test_repair_leaves_alone_what_only_another_machine_knows(lab: Lab) -> None:
    trial = lab.begin()
    lab.write(0, [progress(1)])
    lab.finish(trial, 0.5)
    lab.mirror().sync_study()
    before = lab.everything()
    (lab.workspace / "runs").rename(lab.workspace / "away")
    assert lab.mirror().sync_study(repair=True) == Synced(made=0, mended=0, untouched=1)
    assert lab.everything() == before


def test_a_name_that_mlflow_refuses_keeps_nothing_else_away(lab: Lab) -> None:
    lab.begin()
    event = progress(1)
    lab.write(0, [replace(event, data={**event.data, "50 % off!": 1.0, "../up": 2.0, "": 3.0})])
    sync(lab.mirror(), 0)
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1]
    assert len(lab.run(0).data.metrics) == 6


def test_run_id(lab: Lab) -> None:
    lab.begin()
    mirror = lab.mirror()
    assert mirror.run_id(0) is None
    sync(mirror, 0)
    assert mirror.run_id(0) == lab.mirror().run_id(0) == lab.run(0).info.run_id


def test_a_run_that_the_user_has_open_is_left_alone(
    lab: Lab, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, tmp_path / "own.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'own.db'}")
    monkeypatch.chdir(tmp_path)
    lab.write(lab.begin().number, [progress(1)])
    with mlflow.start_run() as own:
        mlflow.log_param("mine", 1)
        lab.mirror().sync_study()
        active = mlflow.active_run()
        assert active is not None
        assert active.info.run_id == own.info.run_id
        mlflow.log_param("after", 2)
    assert mlflow.get_tracking_uri().endswith("own.db")
    run = mlflow.get_run(own.info.run_id)
    assert run.data.params == {"mine": "1", "after": "2"}
    assert not run.data.metrics
    assert "mlflow.parentRunId" not in run.data.tags


def test_the_process_brings_everything_up_to_date_even_if_it_is_killed(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MlflowSink(lab.order(), restart_pause=0.01)
    trial = lab.begin()
    lab.write(0, [progress(1)])
    sink.notify(0)
    wait_for(lambda: any("trial" in run.data.tags for run in lab.runs()))
    assert sink._process is not None
    sink._process.kill()
    lab.finish(trial, 0.5)
    lab.begin()  # nobody tells of this one
    assert sink.close(timeout=60)
    assert lab.best() == ["trial-0000"]
    assert lab.run(1).info.status == "RUNNING"
    assert sink.close(timeout=0)
    assert not is_alive(sink._process.pid)
    assert [record.levelno for record in caplog.records if record.name == LOGGER] in ([], [logging.WARNING])


def test_unreachable_warns_once_without_the_password(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    lab.write(lab.begin().number, [progress(1)])
    sink = MlflowSink(lab.order(CLOSED_PORT))
    sink.notify(0)
    wait_for(lambda: len(caplog.records) >= 3)
    assert not sink.close(timeout=0.2)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "http://me:***@127.0.0.1:9 is behind" in warnings[0]
    assert "smart-tuner sync" in warnings[0]
    assert "hunter2" not in caplog.text
    assert sink._process is not None
    assert not is_alive(sink._process.pid)


def test_a_process_that_stands_still_makes_nobody_wait(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    sink = MlflowSink(lab.order())
    sink.notify(0)
    wait_for(lambda: sink._process is not None)
    assert sink._process is not None
    os.kill(sink._process.pid, signal.SIGSTOP)
    began = time.monotonic()
    for number in range(100_000):  # more than a pipe holds
        sink.notify(number)
    time.sleep(0.2)
    assert not sink.close(timeout=0.1)
    assert time.monotonic() - began < 5
    assert "did not finish in time" in caplog.text
    assert not is_alive(sink._process.pid)


def test_the_process_does_not_outlive_a_killed_tuner_and_syncs_once_more(lab: Lab) -> None:
    trial = lab.begin()
    lab.write(0, [progress(1)])
    argv = [sys.executable, "-m", "smart_tuner.sinks.mlflow_process"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(lab.order().to_line())
        process.stdin.flush()
        wait_for(lambda: bool(lab.runs()))
        lab.finish(trial, 0.5)
        process.stdin.close()
        assert process.wait(ORPHAN_SECONDS + 10) == 0
    assert lab.run(0).info.status == "FINISHED"


class Stubborn(MlflowMirror):
    """A store that fails the first few times, and for some trials for ever."""

    failures = 0
    calls = 0
    bad: tuple[int, ...] = ()

    def sync_study(self, **options: Any) -> Synced:
        return Synced(0, 0, 0)

    def sync_trials(self, numbers: Sequence[int]) -> Iterator[int]:
        self.calls += 1
        for number in numbers:
            if self.calls <= self.failures or number in self.bad:
                raise OSError("the store is away")
            yield from super().sync_trials([number])


def test_rounds_go_on_after_an_outage_and_around_a_trial_that_fails(lab: Lab) -> None:
    for number in range(3):
        lab.begin()
        lab.write(number, [progress(1)])
    mirror = Stubborn(lab.uri, lab.study, lab.workspace, feasible_trials)
    mirror.failures, mirror.bad = 3, (0,)
    said, news = io.StringIO(), News()
    rounds = Rounds(mirror, lab.order(pause=0.01, first_wait=0.01, longest_wait=0.02), news, said)
    news.add([0, 1, 2])  # told once, tried until it works
    thread = threading.Thread(target=rounds.run)
    thread.start()
    wait_for(lambda: len([run for run in lab.runs() if "trial" in run.data.tags]) == 2)
    news.finish(1.0)
    thread.join(10)
    assert not thread.is_alive()
    assert mirror.calls > 4
    assert json.loads(said.getvalue().splitlines()[0]) == {"behind": "OSError: the store is away"}


def test_a_round_is_followed_by_a_pause_of_many_times_its_cost(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100, 3))  # each round takes three seconds of CPU
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    pauses: list[float] = []

    class Watched(News):
        def is_finishing(self, within: float = 0.0) -> bool:
            pauses.append(within)
            return len(pauses) > 4

        def take(self) -> list[int]:
            return []

    assert Rounds(
        Stubborn(lab.uri, lab.study, lab.workspace, feasible_trials), lab.order(), Watched(), sys.stdout
    ).run()
    assert pauses == [0.0, 60.0, 0.0, 60.0, 0.0]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_import_is_free_and_the_first_store_is_made_in_silence(tmp_path: Path) -> None:
    program = """
import sys
import smart_tuner.sinks.mlflow_sink
assert "mlflow" not in sys.modules
from smart_tuner.sinks.mlflow_runs import connect
connect(sys.argv[1]).create_experiment("any")
from mlflow.telemetry import get_telemetry_client
assert get_telemetry_client() is None, "telemetry is on"
"""
    argv = [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"]
    environment = {"PATH": "", "HOME": str(tmp_path)}  # nothing that tells MLflow it is under test
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_kill_while_the_store_is_made_leaves_no_half_store(tmp_path: Path) -> None:
    """MLflow itself can neither use nor mend a store whose tables were made half-way."""
    database = tmp_path / "mlflow.db"
    code = f"from smart_tuner.sinks.mlflow_runs import connect; connect('sqlite:///{database}')"
    maker = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not any(beside.stat().st_size > 0 for beside in tmp_path.glob(".mlflow.db.*/mlflow.db")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    maker.kill()
    maker.wait()
    assert not database.exists()
    assert connect(f"sqlite:///{database}").search_experiments()
