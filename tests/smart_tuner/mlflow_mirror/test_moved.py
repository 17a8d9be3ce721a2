"""A workspace that was moved or copied: MLflow finds its artifacts, and nothing is written to the old place."""

import shutil
from pathlib import Path

import optuna
import pytest
from mirror_lab import Lab, progress

from smart_tuner.mlflow_mirror.mirror import Synced
from smart_tuner.mlflow_mirror.moved import follow_artifacts


@pytest.fixture
def synced(lab: Lab) -> Lab:
    """One trial, whose checkpoint MLflow has."""
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


def test_artifacts_of_a_moved_workspace_are_found_and_the_old_place_stays_empty(synced: Lab, tmp_path: Path) -> None:
    moved = at(synced, synced.workspace.rename(tmp_path / "новое место"))
    assert moved.mirror().sync_study(repair=True) == Synced(made=0, mended=0, untouched=1)
    assert files(moved) == ["checkpoints/best.pt"]
    assert not synced.workspace.exists()
    before = moved.everything()
    assert moved.mirror().sync_study(repair=True) == Synced(made=0, mended=0, untouched=1)
    assert moved.everything() == before


def test_a_copy_is_mended_in_its_own_place(synced: Lab, tmp_path: Path) -> None:
    copy = at(synced, Path(shutil.copytree(synced.workspace, tmp_path / "copy")))
    shutil.rmtree(copy.workspace / "mlartifacts")
    before = synced.everything()
    assert copy.mirror().sync_study(repair=True) == Synced(made=0, mended=1, untouched=0)
    assert list((copy.workspace / "mlartifacts").rglob("best.pt"))
    assert synced.everything() == before


def test_only_what_lay_in_the_workspace_follows_it(synced: Lab, tmp_path: Path) -> None:
    """Another workspace may use the store, and keep artifacts of its own."""
    elsewhere = (tmp_path / "another" / "mlartifacts").as_uri()
    synced.client.create_experiment("another", elsewhere)
    moved = at(synced, synced.workspace.rename(tmp_path / "moved"))
    assert follow_artifacts(moved.uri)
    assert not follow_artifacts(moved.uri)
    assert moved.client.get_experiment_by_name("another").artifact_location == elsewhere
    assert files(moved) == ["checkpoints/best.pt"]


def test_another_name_of_the_same_folder_changes_nothing(synced: Lab, tmp_path: Path) -> None:
    follow_artifacts(synced.uri)
    (tmp_path / "link").symlink_to(synced.workspace)
    assert not follow_artifacts(f"sqlite:///{tmp_path / 'link' / 'mlflow.db'}")


def test_what_is_no_store_of_a_workspace_is_left_alone(lab: Lab) -> None:
    assert not follow_artifacts("http://127.0.0.1:9")
    assert not follow_artifacts(f"sqlite:///{lab.workspace / 'none.db'}")
    empty = lab.workspace / "empty.db"
    empty.touch()
    assert not follow_artifacts(f"sqlite:///{empty}")
    assert empty.stat().st_size == 0
