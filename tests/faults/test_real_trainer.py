"""Faults with the real trainer: it continues from what it saved, and too little memory is no crash."""

import random
import sys
from pathlib import Path
from typing import Any

import fault_injection
import pytest
import torch
from campaign import Tally, run_round
from deployment import SUPPORT, Deployment
from fault_injection import Injector

LIMITED = 1  # the trial with too little memory
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
        raise ValueError(f"{path} is damaged") from error
    return update


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows and limits the memory of a process")
def test_the_real_trainer_continues_from_what_it_saved(
    tally: Tally, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISE_LIMITED", f"trial-{LIMITED:04d}")
    command = (sys.executable, str(SUPPORT / "noise_trainer.py"))
    with Deployment(tmp_path, None, "a", study=STUDY, command=command) as deployment:
        injector = Injector(
            deployment, random.Random(f"{tally.seed} real"), saved=updates_saved, expected={LIMITED: "PRUNED"}
        )
        faults = [
            fault_injection.kill_real,
            fault_injection.kill_real,
            fault_injection.damage_real_checkpoint,
            fault_injection.run_out_of_memory_for_real,
        ]
        run_round(injector, faults, tally, "SQLite", "real")
