"""The real trainer, on noise instead of a corpus. The trials named in NOISE_LIMITED get little memory.

NOISE_LIMITED: names of trial directories, separated by spaces. Only Linux shows and limits the memory of a process.
"""

import os
import resource
from pathlib import Path

from random_features import random_features

from trainer import __main__ as door
from trainer.config import TrainerConfig
from trainer.data import features

MORE = 10_000_000  # bytes beyond those in use when the corpus is opened


def open_features(config: TrainerConfig, progress: object = None) -> features.Features:
    if Path(config.paths.run).name in os.environ.get("NOISE_LIMITED", "").split():
        from trainer.device import warm_up

        warm_up()
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MORE,) * 2)
    return random_features(config, utterances=60, seconds=1.0, seed=1)


if __name__ == "__main__":
    features.open_features = open_features  # type: ignore[assignment]
    door._leave(door.main())
