"""A workspace of version 0.1.0, opened by this version in another folder.

Its study `kept` has two complete trials, one that was pruned before causes were stored, and one whose tuner was killed
at a fifth of its budget; the best voice is registered in MLflow. It was in /srv/voices/workspace. Removed to save
space: the cache, TensorBoard's logs, and `last.pt` of the ended trials.
"""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import optuna
import pytest
from commands import call_command

from trainer.protocol import EventKind, RunDir, all_events

ARCHIVE = Path(__file__).parent / "data" / "workspace-0.1.0.tar.xz"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("moved") / "workspace"
    with tarfile.open(ARCHIVE) as archive:
        options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # there from Python 3.11.4 on
        archive.extractall(workspace, **options)
    return workspace


def test_its_study_is_shown_with_the_causes_of_its_version(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--study", "kept", "--workspace", str(kept))
    best = json.loads(call_command(capsys, "best", *where, "--format", "json").out)
    assert (best["trial"], best["value"]) == (0, pytest.approx(25.8139, abs=1e-3))
    assert best["objective"] == "validation_loss"
    assert Path(best["checkpoint"]).is_file()
    assert "pruned 1: attention" in call_command(capsys, "status", *where).out
    page = kept / "report.html"
    assert call_command(capsys, "report", *where, "--output", str(page)).code == 0
    text = page.read_text()
    assert "attention does not align" in text
    assert "The best is trial 0: teacher-forced loss 25.81" in text


def test_its_registered_voice_speaks(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synced = call_command(capsys, "sync", "--study", "kept", "--workspace", str(kept))
    assert synced.code == 0, synced.err
    # In a process of its own: MLflow puts the code that was registered with the voice before all other code.
    program = (
        "import sys, mlflow\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/kept@champion')\n"
        "print(model.predict(['the honest farmer painted the lamp'])[0][:4])\n"
    )
    command = [sys.executable, "-c", program, f"sqlite:///{kept}/mlflow.db"]
    spoken = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert spoken.stdout == "b'RIFF'\n", spoken.stderr
    assert not Path("/srv/voices/workspace").exists()


@pytest.mark.slow
def test_its_killed_trial_is_continued_from_its_checkpoint(kept: Path, command_line: Any) -> None:
    run = RunDir(kept / "runs" / "kept" / "trial-0003")
    before = all_events(run.events)
    done = command_line("optimize", "--name", "kept", "--trials", "4", "--workspace", str(kept))
    assert done.returncode == 0, done.stderr
    events = all_events(run.events)
    assert events[: len(before)] == before
    started = next(event for event in events[len(before) :] if event.kind is EventKind.STARTED)
    assert started.data["resumed"]
    assert started.update > 0
    assert events[-1].kind is EventKind.FINISHED
    study = optuna.load_study(study_name="kept", storage=f"sqlite:///{kept}/studies.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert sorted(study.trials[3].intermediate_values) == [1, 2, 3, 4, 5]
    assert study.trials[3].value == study.trials[3].user_attrs["metrics"]["validation_loss"]
    config = json.loads(run.config.read_text())
    assert config["validation"]["best_by"] == "validation_loss"
    assert config["loss"]["gate_tail"] == 0
