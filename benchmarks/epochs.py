"""How fast the trainer's own loop goes through a corpus with the lengths of LJSpeech, epoch by epoch.

    python -m benchmarks.epochs [--device cuda] [--clips 13100] [--epochs 3] [--batch 128] [--json FILE]

Features of noise with as many clips as LJSpeech has and lengths like theirs; the full preset, r = 1. An update's time
depends on the size of its batch: the first of a size sets up libraries and compiles kernels, on CUDA the second is
captured as a graph, and all others replay it. The first two of each size begin and end with a synchronisation. At the
end stands how long the recipe of NVIDIA/DeepLearningExamples (1,501 epochs, batch 128) would take: the epochs that were
measured, and for the others the time of the last one. Needs only torch, numpy and PyYAML.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.noise import LJSPEECH, write_ljspeech
from benchmarks.report import table, write_results
from trainer.checkpoint import TrainingState
from trainer.config import TrainerConfig
from trainer.data.batches import Batch
from trainer.data.features import open_features
from trainer.loop import Training
from trainer.memory import held_bytes
from trainer.protocol import EventWriter
from trainer.resuming import open_state
from trainer.summaries import Summaries

RECIPE_EPOCHS = 1501  # takes 94 hours on an A100, says its README
UPDATES = ("first of a size", "second of a size", "others")


@dataclass
class Epoch:
    """What its updates were, and how long they took."""

    begun: float
    frames: int = 0
    padded: int = 0
    seconds: float = 0.0
    updates: Counter[str] = field(default_factory=Counter)
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(UPDATES[:2], 0.0))  # seconds


class Measured(Training):
    """Ends after `epochs` epochs."""

    def __init__(self, state: TrainingState, epochs: int) -> None:
        super().__init__(state, EventWriter(state.run_dir.events), Summaries(None), self._why_stop)
        self._last = epochs
        self._seen = Counter[Hashable]()
        self.epochs: list[Epoch] = []

    @property
    def captured(self) -> int:
        return self._updates.captured

    @property
    def sizes(self) -> int:
        return len(self._seen)

    def _why_stop(self) -> str | None:
        """Is asked before each update."""
        progress = self._state.progress
        if progress.position == 0:
            now = self._wait()
            if self.epochs:
                self.epochs[-1].seconds = now - self.epochs[-1].begun
            if progress.epoch == self._last:
                return "measured"
            self.epochs.append(Epoch(now))
        return None

    def _update(self, batch: Batch) -> None:
        size = (batch.mels.shape, batch.tokens.shape)
        kind = UPDATES[min(self._seen[size], 2)]
        self._seen[size] += 1
        epoch = self.epochs[-1]
        epoch.updates[kind] += 1
        epoch.frames += batch.frames
        epoch.padded += batch.mels.shape[0] * batch.mels.shape[1]
        if kind == UPDATES[2]:
            super()._update(batch)
            return
        begun = self._wait()
        super()._update(batch)
        epoch.spent[kind] += self._wait() - begun

    def _wait(self) -> float:
        """The time when the device has done all updates so far."""
        if self._state.device.type == "cuda":
            torch.cuda.synchronize(self._state.device)
        return time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--preset", choices=["tiny", "full"], default="full")
    parser.add_argument("--clips", type=int, default=LJSPEECH)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--reduction", type=int, default=1)
    parser.add_argument("--kernels", choices=["auto", "fused", "torch"], default="auto")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        config = config_of(Path(name), options)
        begun = time.monotonic()
        write_ljspeech(config, options.clips)
        written = time.monotonic()
        training = Measured(open_state(config, open_features(config)), options.epochs)
        opened = time.monotonic()
        training.run()
    rows = [row_of(i + 1, epoch) for i, epoch in enumerate(training.epochs)]
    found = {
        "seconds to write features": written - begun,
        "seconds to open": opened - written,
        "sizes": training.sizes,
        "graphs": training.captured,
        "largest memory MB": round(held_bytes(training._state.device) / 1e6),
        "hours of the recipe": recipe_hours(training.epochs),
    }
    print(table(rows))
    print(table([found]))
    if options.json:
        write_results(options.json, {"epochs": rows, **found}, vars(options))


def config_of(folder: Path, options: argparse.Namespace) -> TrainerConfig:
    settings: dict[str, Any] = {
        "preset": options.preset,
        "text": {"language": "en"},
        "model": {"reduction": options.reduction},
        "batch": {"size": options.batch},
        "budget": {"frames": 10**12, "reports": 1},
        "device": {"name": options.device, "kernels": options.kernels},
        "logging": {
            "checkpoint_every_seconds": 86_400,
            "tensorboard": False,
            "pictures": False,
            "samples": False,
        },
        "paths": {"run": str(folder / "run"), "cache": str(folder / "cache"), "features": str(folder / "features")},
    }
    return TrainerConfig.from_mapping(settings)


def row_of(number: int, epoch: Epoch) -> dict[str, Any]:
    return {
        "epoch": number,
        "seconds": epoch.seconds,
        "frames": epoch.frames,
        "frames/s": epoch.frames / epoch.seconds,
        "padding": 1 - epoch.frames / epoch.padded,
        **{f"updates, {kind}": epoch.updates[kind] for kind in UPDATES},
        **{f"seconds, {kind}": epoch.spent[kind] for kind in UPDATES[:2]},
    }


def recipe_hours(epochs: list[Epoch]) -> float:
    others = (RECIPE_EPOCHS - len(epochs)) * epochs[-1].seconds
    return (sum(epoch.seconds for epoch in epochs) + others) / 3600


if __name__ == "__main__":
    main()
