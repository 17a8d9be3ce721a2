"""Which run in MLflow belongs to which trial, and which runs are left alone."""

import shutil
from pathlib import Path

import mlflow
import optuna
import pytest
from mirror_lab import Lab, progress, sync

from smart_tuner.errors import RunConflict


def test_run_id(lab: Lab) -> None:
    lab.begin()
    mirror = lab.mirror()
    assert mirror.run_id(0) is None
    sync(mirror, 0)
    assert mirror.run_id(0) == lab.mirror().run_id(0) == lab.run(0).info.run_id


@pytest.mark.parametrize("what", ["experiment", "run"])
def test_a_deleted_run_or_experiment_is_restored(lab: Lab, what: str) -> None:
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


def test_runs_that_were_created_twice_are_repaired(lab: Lab) -> None:
    """Two workers that start at once each create a parent and a run for the same trial."""
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


def test_two_studies_of_one_name_are_kept_apart_by_their_id(lab: Lab, tmp_path: Path) -> None:
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


def test_a_run_of_an_earlier_study_is_refused_with_the_difference(lab: Lab) -> None:
    lab.begin(lr=0.01)
    lab.mirror().sync_study()
    second = Lab(optuna.create_study(study_name="quickstart"), lab.workspace / "new", lab.uri)
    second.begin(lr=0.02)
    with pytest.raises(RunConflict, match=r"`optimizer.lr` is 0\.01 there and 0\.02 in the study"):
        second.mirror().sync_study()


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
