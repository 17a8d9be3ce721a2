"""How fast this machine trains: the loop itself, for some seconds, in a folder that is thrown away."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from trainer.checkpoint import TrainingState
from trainer.config import BudgetConfig, TrainerConfig
from trainer.data.features import Features
from trainer.errors import ConfigError
from trainer.loop import train_on
from trainer.resuming import open_state
from trainer.stopping import StopRequest

WARM_UP_UPDATES = 5  # memory is allocated, and on CUDA graphs are captured


class _Watch:
    """The loop's `stop_reason`: measures from update `WARM_UP_UPDATES` on."""

    def __init__(self, state: TrainingState, seconds: float, stop: StopRequest) -> None:
        self._state = state
        self._seconds = seconds
        self._stop = stop
        self._updates = 0
        self._began: tuple[float, int] | None = None  # time, frames
        self.frames_per_second = 0.0

    def __call__(self) -> str | None:
        self._stop.check()
        progress = self._state.progress
        self._updates += 1
        if self._updates <= WARM_UP_UPDATES:
            return None
        if self._began is None:
            self._began = self._now(), progress.frames
            return None
        elapsed = time.monotonic() - self._began[0]
        if elapsed < self._seconds:
            return None
        self.frames_per_second = (progress.frames - self._began[1]) / (self._now() - self._began[0])
        return "measured"

    def _now(self) -> float:
        """The time when the device has done all updates so far, on the monotonic clock."""
        if self._state.device.type == "cuda":
            torch.cuda.synchronize(self._state.device)
        return time.monotonic()


def measure_speed(config: TrainerConfig, features: Features, seconds: float, stop: StopRequest) -> float:
    """Frames of speech a second that updates with these settings take, without reports and checkpoints.

    Raises as `open_state`, ConfigError where the settings diverge at once, Stopped where a stop is requested.
    """
    with tempfile.TemporaryDirectory(prefix="smart-tuner-") as folder:
        measured = replace(
            config,
            budget=BudgetConfig(frames=10**12, reports=1),
            logging=replace(config.logging, tensorboard=False, checkpoint_every_seconds=86_400),
            paths=replace(config.paths, run=str(Path(folder) / "run")),
        )
        state = open_state(measured, features)
        watch = _Watch(state, seconds, stop)
        code = train_on(state, watch)
    if not watch.frames_per_second:
        raise ConfigError(
            f"the training ended ({code.name.lower()}) before its speed was measured; these settings cannot be trained."
        )
    return watch.frames_per_second
