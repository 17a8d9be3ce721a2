"""Studies run in one process, and MLflow follows them."""

import io
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mlflow
import optuna
import pytest
from lab import FAKE_TRAINER, Lab
from mlflow import MlflowClient
from rich.console import Console
from waiting import wait_until

import smart_tuner.run.studies
from smart_tuner.config import Settings
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.main import SmartTunerMain
from smart_tuner.mlflow_mirror.mirror import Synced
from smart_tuner.mlflow_mirror.process import SyncJob
from smart_tuner.mlflow_mirror.sink import MlflowSink
from smart_tuner.run.context import Context
from smart_tuner.run.studies import mirrored
from smart_tuner.store.storage import open_storage


def test_a_study_is_in_mlflow_and_an_active_run_of_the_user_is_left_alone(
    lab: Lab, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.workspace.mkdir()
    for store in (lab.workspace / "mlflow.db", lab.path / "own.db"):
        shutil.copy(empty_store, store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{lab.path}/own.db")
    monkeypatch.setattr(smart_tuner.run.studies, "SyncJob", partial(SyncJob, niceness=0))
    settings = Settings(workspace=lab.workspace, jobs=2, device="cpu", mlflow_checkpoints=2)
    tuner = SmartTunerMain(
        lab.study_file, settings=settings, executor=LocalExecutor(5.0, FAKE_TRAINER), console=lab.console
    )
    with mlflow.start_run() as own:
        result = tuner.optimize(3)
        assert (active := mlflow.active_run()) is not None
        assert active.info.run_id == own.info.run_id
        assert not mlflow.get_run(own.info.run_id).data.metrics
    client = MlflowClient(f"sqlite:///{lab.workspace}/mlflow.db")
    experiment = client.get_experiment_by_name("lab")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert [runs[f"trial-{n:04d}"].data.tags["state"] for n in range(3)] == lab.states()
    assert runs["trial-0001"].info.status == "KILLED"
    assert result.best is not None
    assert result.best.mlflow_run_id == runs[f"trial-{result.best.trial:04d}"].info.run_id
    assert tuner.sync() == tuner.sync(repair=True) == Synced(created=0, repaired=0, unchanged=3)
    switched_off = Settings(workspace=lab.workspace, mlflow=False, tracking_uri=f"sqlite:///{lab.path}/none.db")
    assert SmartTunerMain(lab.study_file, settings=switched_off).sync() is None
    assert not (lab.path / "none.db").exists()


def test_several_studies_catch_up_in_mlflow_at_the_same_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []
    finish, close = MlflowSink.finish, MlflowSink.close

    def begin(sink: MlflowSink, timeout: float) -> None:
        calls.append(("finish", sink.study))
        finish(sink, timeout)

    def wait(sink: MlflowSink, timeout: float) -> bool:
        calls.append(("close", sink.study))
        return close(sink, timeout)

    monkeypatch.setattr(MlflowSink, "finish", begin)
    monkeypatch.setattr(MlflowSink, "close", wait)
    storage = open_storage(lab.url)
    studies = [optuna.create_study(storage=storage, study_name=name) for name in ("idle", "one", "two")]
    settings = Settings(workspace=lab.workspace, tracking_uri="http://127.0.0.1:9")
    context = Context(settings, LocalExecutor(command=FAKE_TRAINER), lab.console, storage)
    with mirrored(context, studies, lambda: 0.1) as sinks:
        for sink in sinks[1:]:
            assert sink is not None
            sink.notify(0)
        wait_until(lambda: all(sink is not None and sink.has_started for sink in sinks[1:]))
    # Those that have a process: together. The others, each of which would start one: one after the other.
    assert calls[:2] == [("finish", "one"), ("finish", "two")]
    assert [study for what, study in calls if what == "close"] == ["one", "two", "idle"]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_the_wait_for_mlflow_is_shown_and_ctrl_c_ends_it(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    shown = io.StringIO()
    settings = Settings(workspace=lab.workspace)
    executor = LocalExecutor(command=FAKE_TRAINER)
    context = Context(settings, executor, Console(file=shown), open_storage(lab.url))
    study = optuna.create_study(storage=context.storage, study_name="slow")
    interrupt = threading.Thread(
        target=lambda: (wait_until(lambda: "MLflow" in shown.getvalue()), os.kill(os.getpid(), signal.SIGINT))
    )
    with mirrored(context, [study], lambda: 60.0) as sinks:
        (sink,) = sinks
        assert sink is not None
        sink.notify(0)
        wait_until(lambda: sink.has_started)
        assert sink._process is not None
        process = sink._process
        process.send_signal(signal.SIGSTOP)
        interrupt.start()
        began = time.monotonic()
    assert time.monotonic() - began < 30
    interrupt.join()
    process.kill()  # a stopped one does not notice that its input was closed
    process.wait()
    first, second = (line.split(" ", 2)[2] for line in shown.getvalue().splitlines())
    assert first.startswith("MLflow catches up, for 60 s at most; Ctrl-C ends the wait, and `smart-tuner sync` does")
    assert second == "MLflow lacks the last of study 'slow'; `smart-tuner sync --study slow` sends it"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
