"""Fixtures for tests of the trainer."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from short_run import Run

    from trainer.data.features import Features


@pytest.fixture
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def features() -> "Features":
    """44 clips of about half a second, two of them for validation."""
    from random_features import random_features
    from short_run import small_config

    return random_features(small_config(Path("unused")), utterances=44, seconds=0.5, seed=1)


@pytest.fixture(scope="session")
def finished(features: "Features", tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """One uninterrupted run; read-only."""
    import torch
    from short_run import Run, small_config

    torch.set_num_threads(1)
    return Run(small_config(tmp_path_factory.mktemp("finished")), features)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded corpus and its features, made once."""
    from trainer_process import SMALL, call_main

    from trainer.dotted import merge
    from trainer.protocol import ExitCode

    folder = tmp_path_factory.mktemp("cache")
    config = folder / "config.json"
    config.write_text(json.dumps(merge(SMALL, {"paths": {"cache": str(folder)}})))
    assert call_main("--config", str(config), "--prepare") == ExitCode.FINISHED
    return folder


@pytest.fixture(scope="session")
def demo_features(cache: Path) -> "Features":
    """24 English sentences, spoken by espeak-ng; six of them for validation."""
    from trainer_process import SMALL

    from trainer.config import TrainerConfig, merge
    from trainer.data.features import open_features

    changes = {"corpus": {"validation_share": 0.25}, "paths": {"cache": str(cache)}}
    return open_features(TrainerConfig.from_mapping(merge(SMALL, changes)))
