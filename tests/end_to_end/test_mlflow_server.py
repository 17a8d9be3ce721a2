"""The mirror with a real MLflow server, which is killed and restarted while a trial runs."""

import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from smart_tuner.mlflow_mirror.mirror import MlflowMirror, Synced
from smart_tuner.mlflow_mirror.process import SyncJob
from smart_tuner.mlflow_mirror.run_lookup import connect
from smart_tuner.mlflow_mirror.settings import MirrorSettings
from smart_tuner.mlflow_mirror.sink import MlflowSink
from smart_tuner.results import feasible_trials
from trainer.protocol import Event, EventKind, EventWriter, RunDir

pytestmark = pytest.mark.slow


@contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    argv = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    argv += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    argv += ["--artifacts-destination", str(folder / "kept")]
    with (folder / "server.log").open("ab") as log:
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, env=environment)
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/health", process)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_healthy(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended at once"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer")


def test_the_mirror_catches_up_after_its_server_was_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    connect(f"sqlite:///{tmp_path / 'server.db'}")
    uri = f"http://me:hunter2@127.0.0.1:{port}"
    study = optuna.create_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'studies.db'}")
    trial = study.ask({"optimizer.lr": optuna.distributions.FloatDistribution(1e-5, 1e-1)})
    trial.set_user_attr("run_dir", "runs/quickstart/trial-0000")
    record = RunDir(tmp_path / "runs/quickstart/trial-0000")
    record.create()
    record.config.write_text("{}")
    (record.samples / "one.wav").write_bytes(b"RIFF")
    writer = EventWriter(record.events)
    capfd.readouterr()
    caplog.clear()

    def train(update: int, loss: float) -> None:
        writer.write(
            Event(
                EventKind.PROGRESS,
                update * 100,
                update,
                {"loss": loss, "frames_per_second": 250.0, "memory_bytes": 1e9},
            )
        )
        sink.notify(0)

    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    settings = MirrorSettings(uri, tmp_path)
    sink = MlflowSink(SyncJob(storage, "quickstart", settings, pause=0.05, longest_wait=0.5, niceness=0))
    with server(tmp_path, port):
        train(1, 3.0)
        _until(lambda: _steps(uri) == [1])
    train(2, math.inf)
    _until(lambda: any(record.levelno == logging.WARNING for record in caplog.records))
    with server(tmp_path, port):
        _until(lambda: _steps(uri) == [1, 2])
        train(3, 2.0)
        writer.write(Event(EventKind.ARTIFACT, 300, 3, {"what": "sample", "path": "samples/one.wav"}))
        writer.close()
        record.best_checkpoint.write_bytes(b"weights")
        trial.set_user_attr("feasible", True)
        study.tell(trial, 2.0)
        assert sink.close(timeout=60)
        assert _steps(uri) == [1, 2, 3]
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("quickstart")
        (run,) = client.search_runs([experiment.experiment_id], "tags.best = 'true'")
        assert run.info.status == "FINISHED"
        assert run.data.params == {"optimizer.lr": str(trial.params["optimizer.lr"])}
        for folder, name in (("samples", "one.wav"), ("checkpoints", "best.pt")):
            assert [file.path for file in client.list_artifacts(run.info.run_id, folder)] == [f"{folder}/{name}"]
        better = study.ask()
        better.set_user_attr("feasible", True)
        study.tell(better, 1.0)
        mirror = MlflowMirror(settings, study, feasible_trials)
        assert mirror.sync_study(repair=True) == Synced(created=1, repaired=1, unchanged=0)
        assert client.list_artifacts(run.info.run_id, "checkpoints") == []  # removed through the server
        assert mirror.sync_study(repair=True) == Synced(created=0, repaired=0, unchanged=2)
        assert not (tmp_path / "mlartifacts").exists()  # the server keeps the files
    ours = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(ours) == 1
    assert "hunter2" not in caplog.text
    assert capfd.readouterr().out == ""


def _steps(uri: str) -> list[int]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("quickstart")
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], "tags.trial = '0'")
    return sorted(point.step for run in runs for point in client.get_metric_history(run.info.run_id, "train/loss"))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.1)
