"""An MLflow store in a file, created at its first use."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from smart_tuner.mlflow_mirror.run_lookup import connect


@pytest.mark.slow
def test_mlflow_is_imported_late_and_its_store_created_without_output(tmp_path: Path) -> None:
    program = """
import sys
import smart_tuner.mlflow_mirror.sink
assert "mlflow" not in sys.modules
from smart_tuner.mlflow_mirror.run_lookup import connect
connect(sys.argv[1]).create_experiment("any")
from mlflow.telemetry import get_telemetry_client
assert get_telemetry_client() is None, "telemetry is on"
"""
    argv = [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"]
    environment = {"PATH": "", "HOME": str(tmp_path)}  # without the variables by which MLflow detects a test
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.slow
def test_a_kill_during_the_creation_leaves_no_incomplete_store(tmp_path: Path) -> None:
    """MLflow can neither use nor repair a store with only some of its tables."""
    database = tmp_path / "mlflow.db"
    code = f"from smart_tuner.mlflow_mirror.run_lookup import connect; connect('sqlite:///{database}')"
    maker = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not any(beside.stat().st_size > 0 for beside in tmp_path.glob(".mlflow.db.*/mlflow.db")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    maker.kill()
    maker.wait()
    assert not database.exists()
    assert connect(f"sqlite:///{database}").search_experiments()
