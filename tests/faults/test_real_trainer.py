"""The same with the real trainer: what it saves is what it goes on from, and memory that lacks is no crash."""

import random
import sys
from pathlib import Path
from typing import Any

import pytest
import strikes
import torch
from arena import SUPPORT, Arena
from campaign import Tally, fight
from strikes import Field

LIMITED = 1  # the trial that lacks memory
STUDY: dict[str, Any] = {
    "budget": {"frames": 60_000, "reports": 4},
    "trials": 3,
    "fixed": {
        "batch.size": 8,
        "logging.progress_every_updates": 2,
        "logging.checkpoint_every_seconds": 0.5,
        "logging.pictures": False,
        "logging.samples": False,
        "logging.tensorboard": False,
    },
}


def updates_saved(path: Path) -> int:
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        update: int = torch.load(path, weights_only=True)["progress"]["update"]
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{path} is torn") from error
    return update


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells and limits what a process has")
def test_the_real_trainer_goes_on_from_what_it_saved(
    tally: Tally, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISE_LIMITED", f"trial-{LIMITED:04d}")
    command = (sys.executable, str(SUPPORT / "noise_trainer.py"))
    with Arena(tmp_path, None, "a", study=STUDY, command=command) as arena:
        field = Field(arena, random.Random(f"{tally.seed} real"), saved=updates_saved, expected={LIMITED: "PRUNED"})
        faults = [strikes.kill_real, strikes.kill_real, strikes.spoil_real, strikes.lack_real_memory]
        fight(field, faults, tally, "SQLite", "real")
