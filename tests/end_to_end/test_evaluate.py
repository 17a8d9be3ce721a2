"""`smart-tuner evaluate` with the real trainer, in processes of their own: stopped by Ctrl-C, then to its end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from waiting import wait_until

from trainer import voice_format
from trainer.config import TrainerConfig
from trainer.evaluation.verdict import Heard
from trainer.model import Tacotron2
from trainer.text import SYMBOLS
from trainer.voice_format import Voice

pytestmark = pytest.mark.slow
COMMAND = (sys.executable, "-m", "smart_tuner", "evaluate", "--checkpoint", "v.pt", "--device", "cpu")


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Untrained, in full size: a sentence takes long enough to be interrupted."""
    paths = {"cache": str(tmp_path / "gone")}
    config = TrainerConfig.from_mapping({"preset": "full", "corpus": {"source": "demo:en:24"}, "paths": paths})
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels)
    torch.nn.init.constant_(model.decoder.gate.bias, -20.0)
    path = tmp_path / "v.pt"
    voice_format.save(path, Voice(model.state_dict(), config, SYMBOLS, {"loss": 1.0}))
    return path


def test_an_evaluation_is_stopped_by_ctrl_c_and_leaves_nothing_and_is_then_made(voice: Path) -> None:
    folder = voice.parent
    with subprocess.Popen(COMMAND, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: [*folder.glob(".evaluation.*.tmp/media")], seconds=120)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.splitlines() == ["stopping; evaluation stays as it was", "Stopped."]
    assert not [*folder.glob("*evaluation*")]
    done = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"v.pt: {Heard.MUTE}"), done.stderr
    assert (folder / "evaluation" / "index.html").is_file()
    assert json.loads((folder / "evaluation" / "summary.json").read_text())["corpus"] == "demo:en:24"
