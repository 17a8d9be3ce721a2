"""The complete configuration that a trial was, or would be, trained with."""

import json
from collections.abc import Mapping
from typing import Any

from smart_tuner.earlier_versions import completed_config
from smart_tuner.errors import StudyError
from smart_tuner.run.trial import trial_seed
from smart_tuner.spec import StudySpec
from smart_tuner.workspace import anchored
from trainer.config import DeviceConfig, PathsConfig, TrainerConfig
from trainer.protocol import RunDir


def trial_config(spec: StudySpec, number: int, params: Mapping[str, Any], run_dir: RunDir) -> TrainerConfig | None:
    """That of its folder, else by its study's definition.

    None if another version of the study made the trial, and its folder is not on this machine.
    """
    return _own_config(run_dir) or _config_of(spec, number, params)


def _own_config(run_dir: RunDir) -> TrainerConfig | None:
    """With the keys that an earlier version left out, so that it trains what the trial trained."""
    try:
        raw = json.loads(run_dir.config.read_text(encoding="utf-8"))
        return TrainerConfig.from_mapping(completed_config(raw)) if isinstance(raw, dict) else None
    except (OSError, ValueError):  # also ConfigError
        return None


def _config_of(spec: StudySpec, number: int, params: Mapping[str, Any]) -> TrainerConfig | None:
    seed = trial_seed(spec.name, number)
    try:
        return anchored(spec.trainer_config(params, seed=seed, paths=PathsConfig(), device=DeviceConfig()))
    except StudyError:
        return None
