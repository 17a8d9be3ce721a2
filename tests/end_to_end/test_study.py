"""A study with the real trainer on real speech, and everything that a user finds afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
import pytest
import soundfile
from commands import BEST_KEYS, call_command
from short_study import LEAN, SHORT

from trainer.config import TrainerConfig
from trainer.protocol import EventKind, RunDir, all_events

WITHOUT_MLFLOW = {"SMART_TUNER_MLFLOW": "false"}  # saves seconds in tests that do not concern it


def test_the_output_ends_with_trials_best_parameters_and_next_steps(finished_study: Any) -> None:
    _, done = finished_study
    begins = "quickstart: 2 of 2 trials finished"
    for expected in (begins, "COMPLETE", "Best of study", "optimizer.lr", "smart-tuner ui"):
        assert expected in done.stdout
    assert done.stdout.index(begins) < done.stdout.index("Best of study") < done.stdout.index("To look further")
    assert "alignment" in done.stderr, "plain lines while it runs, since this is no terminal"


@pytest.fixture
def best(finished_study: Any, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `best --format json` prints."""
    workspace, _ = finished_study
    ended = call_command(capsys, "best", "--workspace", str(workspace), "--format", "json")
    printed: dict[str, Any] = json.loads(ended.out)
    return printed


def test_plain_mlflow_gives_the_parameters_that_best_prints(
    finished_study: Any, best: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    workspace, _ = finished_study
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace}/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["quickstart"], filter_string="tags.best = 'true'")
    assert len(runs) == 1
    params = {
        name[7:]: value for name, value in runs.iloc[0].items() if name.startswith("params.") and value is not None
    }
    assert params == {name: str(value) for name, value in best["params"].items()}
    assert runs.iloc[0]["run_id"] == best["mlflow_run_id"]


def test_best_as_json_has_all_documented_keys(best: dict[str, Any]) -> None:
    assert list(best) == BEST_KEYS
    assert {"alignment", "diagonality", "focus", "coverage", "monotonicity", "free_running_alignment"} <= set(
        best["metrics"]
    )
    assert best["feasible"] is True
    assert best["value"] == best["metrics"][best["objective"]]
    assert Path(best["checkpoint"]).is_file()


def test_each_trial_directory_has_the_whole_record(finished_study: Any) -> None:
    workspace, _ = finished_study
    for number in range(2):
        run = RunDir(workspace / "runs" / "quickstart" / f"trial-{number:04d}")
        events = all_events(run.events)
        assert [e.data["index"] for e in events if e.kind is EventKind.VALIDATION] == [1, 2]
        assert events[-1].kind is EventKind.FINISHED
        started = next(e for e in events if e.kind is EventKind.STARTED)
        assert TrainerConfig.from_mapping(started.data["config"]) == TrainerConfig.load(run.config)
        assert run.last_checkpoint.is_file()
        assert list(run.alignments.glob("*.png"))
        samples, rate = soundfile.read(run.samples / "sample-middle.wav")
        assert rate == 22050
        assert np.abs(samples).max() > 0.001


def test_tensorboard_lists_every_trial_with_scalars_pictures_and_sound(finished_study: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    workspace, _ = finished_study
    trials = sorted((workspace / "logs" / "quickstart").iterdir())
    assert [t.name for t in trials] == ["trial-0000", "trial-0001"]
    for trial in trials:
        tags = EventAccumulator(str(trial)).Reload().Tags()
        assert {"train/loss", "validation/loss", "validation/alignment"} <= set(tags["scalars"])
        assert {"alignment/middle", "mel/middle"} <= set(tags["images"])
        assert "sample/middle" in tags["audio"]
        assert "final/validation_loss" in tags["scalars"]


@pytest.mark.slow
def test_a_second_start_of_a_finished_study_changes_nothing(finished_study: Any, command_line: Any) -> None:
    workspace, _ = finished_study
    before = (workspace / "runs" / "quickstart" / "trial-0000" / "events.jsonl").read_bytes()
    again = command_line("optimize", "--trials", "2", "--workspace", str(workspace), *SHORT, **WITHOUT_MLFLOW)
    assert again.returncode == 0, again.stderr
    assert "started" not in again.stderr
    assert (workspace / "runs" / "quickstart" / "trial-0000" / "events.jsonl").read_bytes() == before


@pytest.mark.slow
def test_status_and_sync_work_on_a_finished_study(finished_study: Any, command_line: Any) -> None:
    workspace, _ = finished_study
    status = command_line("status", "--workspace", str(workspace))
    assert status.returncode == 0
    assert status.stdout.count("COMPLETE") == 2
    row = next((workspace / "logs" / "quickstart" / "trial-0001").glob("*.hparams"))
    content = row.read_bytes()
    row.unlink()
    assert command_line("sync", "--workspace", str(workspace)).returncode == 0
    assert row.read_bytes() == content


@pytest.mark.slow
def test_a_study_without_a_feasible_trial_has_no_best_one(
    command_line: Any, finished_study: Any, tmp_path: Path
) -> None:
    workspace, _ = finished_study
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "cache").symlink_to(workspace / "cache")
    hard = (*SHORT, *LEAN, "--set", "constraints.alignment.at_least=0.99", "--set", "budget.frames=2_000")
    where = ("--workspace", str(tmp_path / "ws"))
    done = command_line("optimize", "--trials", "1", *where, *hard, **WITHOUT_MLFLOW)
    assert done.returncode == 3
    assert "No trial of study 'quickstart' is feasible" in done.stderr
    best = command_line("best", *where, "--format", "json", **WITHOUT_MLFLOW)
    assert best.returncode == 3
    assert json.loads(best.stdout)["feasible"] is False


@pytest.mark.slow
def test_kill_9_of_the_tuner_loses_only_the_work_since_the_last_checkpoint(finished_study: Any, tmp_path: Path) -> None:
    workspace, _ = finished_study
    ws = tmp_path / "ws"
    ws.mkdir()
    (ws / "cache").symlink_to(workspace / "cache")
    longer = (*SHORT, *LEAN, "--set", "budget.frames=60_000", "--set", "budget.reports=6")
    command = [sys.executable, "-m", "smart_tuner", "optimize", "--trials", "2", "--jobs", "2"]
    command += ["--workspace", str(ws), *longer]
    environment = os.environ | WITHOUT_MLFLOW
    run = RunDir(ws / "runs" / "quickstart" / "trial-0000")

    tuner = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait(lambda: _validations(run) >= 2, "two reports")
    trainers = psutil.Process(tuner.pid).children(recursive=True)
    os.kill(tuner.pid, signal.SIGKILL)
    tuner.wait()
    _wait(lambda: not any(t.is_running() and t.status() != psutil.STATUS_ZOMBIE for t in trainers), "the trainer's end")
    assert trainers
    reported = _validations(run)
    assert reported < 6

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{ws}/studies.db")
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE"]
    assert list(study.trials[0].user_attrs["alignment"]) == [str(index) for index in range(1, 7)]
    starts = [e.data["resumed"] for e in all_events(run.events) if e.kind is EventKind.STARTED]
    assert starts == [False, True]
    assert _validations(run) == 6


def _validations(run: RunDir) -> int:
    """The number of reports; one whose checkpoint a kill prevented is made twice, and counts once."""
    return len({e.data["index"] for e in all_events(run.events) if e.kind is EventKind.VALIDATION})


def _wait(condition: Any, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)
