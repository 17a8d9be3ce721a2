"""How long a training takes on this machine: measured with its own settings, before it begins."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from smart_tuner.errors import CorpusRefused
from smart_tuner.run.trainer_command import run_trainer
from smart_tuner.spec import StudySpec
from smart_tuner.workspace import Workspace, anchored
from trainer.config import DeviceConfig

SECONDS = 15.0
TRAINING_SHARE = 0.9  # of a training's time; reports, checkpoints and the last evaluation take the rest
START_SECONDS = 20.0  # until the first update: imports, the features, the first graph of a GPU


def frames_per_second(
    spec: StudySpec, params: Mapping[str, Any], workspace: Workspace, console: Console, device: str
) -> float:
    """Trained with `params`, for `SECONDS`. Prepares the corpus first.

    Raises CorpusRefused where the corpus, or what the training goes on from, cannot be used.
    """
    config = spec.trainer_config(params, seed=1, paths=workspace.paths(spec.name, 0), device=DeviceConfig(name=device))
    with tempfile.TemporaryDirectory(prefix="smart-tuner-") as folder:
        path = Path(folder) / "config.json"
        path.write_text(anchored(config).to_json(), encoding="utf-8")
        result = run_trainer(
            [f"--measure-speed={SECONDS:g}", "--config", str(path)],
            console,
            task="measuring the speed of this machine",
            interrupted="stopping; what is prepared is kept, and the same command goes on",
            refused=CorpusRefused,
        )
    return float(result["frames_per_second"])


def frames_in(seconds: float, speed: float) -> int:
    """Frames that a training of `seconds` has time for, reports included. speed: frames a second of updates alone."""
    return max(1, round(max(0.0, seconds - START_SECONDS) * TRAINING_SHARE * speed))


def seconds_for(frames: int, speed: float) -> float:
    """The inverse of `frames_in`."""
    return frames / (TRAINING_SHARE * speed) + START_SECONDS
