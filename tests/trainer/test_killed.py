"""A training with all that it can do, killed at twenty random moments: its end is that of one that was never killed."""

import random
import time
from pathlib import Path
from typing import Any

import pytest
from short_run import same
from trainer_process import TIMEOUT, configure, kinds_of, start_trainer

from trainer import checkpoint_files
from trainer.protocol import EventKind, ExitCode, RunDir

KILLS = 20
TRAINING: dict[str, Any] = {
    "budget": {"frames": 200_000, "reports": 20},
    "averaging": {"share": 0.1},
    "schedule": {"kind": "wsd", "final_factor": 0.03},
    "corrections": {"kind": "all"},
    "checkpoints": {"best": 3},
    "validation": {"alignment_floor": 0.0, "free_running_utterances": 2},
    "logging": {"progress_every_updates": 1, "checkpoint_every_seconds": 0.2, "pictures": False, "samples": False},
}


def finish(run: RunDir) -> None:
    process = start_trainer(run)
    errors = process.communicate(timeout=10 * TIMEOUT)[1]
    assert process.returncode == ExitCode.FINISHED, errors


def kill_at_random(run: RunDir, chance: random.Random) -> bool:
    """Start it, and kill it some updates later. False where it has ended before."""
    before = kinds_of(run).count(EventKind.PROGRESS)
    process = start_trainer(run)
    try:
        updates = chance.randint(1, 12)
        deadline = time.monotonic() + TIMEOUT
        while kinds_of(run).count(EventKind.PROGRESS) < before + updates and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.random() * 0.1)
        return process.poll() is None
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_twenty_kills_change_no_weight(cache: Path, tmp_path: Path) -> None:
    whole = configure(tmp_path / "whole", cache, **TRAINING)
    finish(whole)
    killed = configure(tmp_path / "killed", cache, **TRAINING)
    chance = random.Random(20)
    assert sum(kill_at_random(killed, chance) for _ in range(KILLS)) == KILLS
    finish(killed)
    ends = [checkpoint_files.load(run.last_checkpoint) for run in (whole, killed)]
    for key in ("model", "optimizer", "average", "rng", "best", "kept"):
        assert same(ends[0][key], ends[1][key]), key
    voices = [checkpoint_files.load(run.best_checkpoint)["model"] for run in (whole, killed)]
    assert same(*voices)
