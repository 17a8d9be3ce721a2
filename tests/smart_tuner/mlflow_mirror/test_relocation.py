"""In a workspace that was moved or copied, MLflow finds its artifacts, and writes nothing to the former one."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from mirror_lab import Lab, progress

from smart_tuner.mlflow_mirror.mirror import Synced
from smart_tuner.mlflow_mirror.relocation import relocate_artifacts
from smart_tuner.mlflow_mirror.settings import TRIAL_KEY


@pytest.fixture
def synced(lab: Lab) -> Lab:
    """One trial whose checkpoint is in MLflow."""
    trial = lab.begin()
    lab.write(0, [progress(1)])
    lab.record(0).best_checkpoint.write_bytes(b"weights")
    lab.finish(trial, 0.5)
    lab.mirror().sync_study()
    return lab


def at(lab: Lab, workspace: Path) -> Lab:
    study = optuna.load_study(study_name=lab.study.study_name, storage=f"sqlite:///{workspace / 'studies.db'}")
    return Lab(study, workspace, f"sqlite:///{workspace / 'mlflow.db'}")


def files(lab: Lab) -> list[str]:
    return [file.path for file in lab.client.list_artifacts(lab.run(0).info.run_id, "checkpoints")]


def test_artifacts_of_a_moved_workspace_are_found_and_the_former_folder_stays_empty(
    synced: Lab, tmp_path: Path
) -> None:
    moved = at(synced, synced.workspace.rename(tmp_path / "новое место"))
    assert moved.mirror().sync_study(repair=True) == Synced(created=0, repaired=0, unchanged=1, relocated=True)
    assert files(moved) == ["checkpoints/best.pt"]
    assert not synced.workspace.exists()
    before = moved.everything()
    assert moved.mirror().sync_study(repair=True) == Synced(created=0, repaired=0, unchanged=1)
    assert moved.everything() == before


def test_a_copy_is_repaired_in_its_own_folder(synced: Lab, tmp_path: Path) -> None:
    copy = at(synced, Path(shutil.copytree(synced.workspace, tmp_path / "copy")))
    shutil.rmtree(copy.workspace / "mlartifacts")
    before = synced.everything()
    assert copy.mirror().sync_study(repair=True) == Synced(created=0, repaired=1, unchanged=0, relocated=True)
    assert list((copy.workspace / "mlartifacts").rglob("best.pt"))
    assert synced.everything() == before


def test_only_locations_in_the_workspace_are_changed(synced: Lab, tmp_path: Path) -> None:
    """Another workspace may use the store, with artifacts of its own."""
    elsewhere = (tmp_path / "another" / "mlartifacts").as_uri()
    synced.client.create_experiment("another", elsewhere)
    moved = at(synced, synced.workspace.rename(tmp_path / "moved"))
    assert relocate_artifacts(moved.uri)
    assert not relocate_artifacts(moved.uri)
    assert moved.client.get_experiment_by_name("another").artifact_location == elsewhere
    assert files(moved) == ["checkpoints/best.pt"]


def test_runs_of_another_workspace_with_a_study_of_the_same_name_stay(synced: Lab, tmp_path: Path) -> None:
    """Also in a store whose default experiment is elsewhere, as in one that an MLflow server created."""
    with closing(sqlite3.connect(synced.workspace / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0' WHERE experiment_id = 0")
    uri = (tmp_path / "another" / "mlartifacts" / "run" / "artifacts").as_uri()
    other = synced.client.create_run(synced.run(0).info.experiment_id, tags={TRIAL_KEY: "quickstart@other/0"})
    moved = at(synced, synced.workspace.rename(tmp_path / "moved"))
    with closing(sqlite3.connect(moved.workspace / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (uri, other.info.run_id))
    assert moved.mirror().sync_study() == Synced(created=0, repaired=0, unchanged=1, relocated=True)
    assert files(moved) == ["checkpoints/best.pt"]
    assert moved.client.get_run(other.info.run_id).info.artifact_uri == uri


def test_an_experiment_that_another_workspace_created_stays(synced: Lab, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "another" / "mlartifacts").as_uri()
    with closing(sqlite3.connect(synced.workspace / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'quickstart'", (elsewhere,))
        connection.execute("UPDATE runs SET artifact_uri = ? || '/run/artifacts'", (elsewhere,))
    before = synced.everything()
    synced.mirror().sync_study()
    assert synced.everything() == before
    found = synced.client.get_experiment_by_name("quickstart")
    assert found is not None
    assert found.artifact_location == elsewhere
    assert synced.run(0).info.artifact_uri == f"{elsewhere}/run/artifacts"


def test_another_path_of_the_same_folder_changes_nothing(synced: Lab, tmp_path: Path) -> None:
    relocate_artifacts(synced.uri)
    (tmp_path / "link").symlink_to(synced.workspace)
    assert not relocate_artifacts(f"sqlite:///{tmp_path / 'link' / 'mlflow.db'}")


def test_anything_but_a_store_of_a_workspace_is_left_alone(lab: Lab) -> None:
    assert not relocate_artifacts("http://127.0.0.1:9")
    assert not relocate_artifacts(f"sqlite:///{lab.workspace / 'none.db'}")
    empty = lab.workspace / "empty.db"
    empty.touch()
    assert not relocate_artifacts(f"sqlite:///{empty}")
    assert empty.stat().st_size == 0
