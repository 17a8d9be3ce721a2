"""Fixtures of the tests of MLflow's mirror."""

import shutil
from pathlib import Path

import optuna
import pytest
from mirror_lab import Lab


@pytest.fixture
def lab(tmp_path: Path, empty_store: Path) -> Lab:
    """A study without trials, and an MLflow store without runs."""
    workspace = tmp_path / "a work space"
    workspace.mkdir()
    shutil.copy(empty_store, workspace / "mlflow.db")
    study = optuna.create_study(study_name="quickstart", storage=f"sqlite:///{workspace / 'studies.db'}")
    return Lab(study, workspace, f"sqlite:///{workspace / 'mlflow.db'}")
