"""The best trial as a YAML file for the trainer, with only what differs from its preset."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml

from smart_tuner.earlier_versions import completed_config
from smart_tuner.errors import StudyError
from smart_tuner.run.trial import trial_seed
from smart_tuner.spec import StudySpec
from smart_tuner.workspace import anchored
from trainer.config import DeviceConfig, PathsConfig, TrainerConfig, flatten, preset_settings, unflatten
from trainer.protocol import RunDir


def recipe(spec: StudySpec, number: int, params: Mapping[str, Any], run_dir: RunDir, heading: str) -> str | None:
    """YAML for `python -m trainer --config`, with a folder of its own, so that the trial's folder stays unchanged.

    None if another version of the study made the trial, and its configuration is not on this machine.
    """
    config = _own_config(run_dir) or _config_of(spec, number, params)
    if config is None:
        return None
    name = f"{spec.name}-trial-{number}"
    own = {
        "paths.run": f"voices/{name}",
        "paths.tensorboard": f"voices/{name}/tensorboard",
        "device.name": "auto",
        "device.threads": 0,
    }
    values = flatten(asdict(config)) | own
    defaults = preset_settings(config.preset)
    always = ("preset", "budget.frames")  # budget.frames is what a person raises for a final voice
    kept = {key: value for key, value in values.items() if key in always or value != defaults[key]}
    body = yaml.safe_dump(unflatten(kept), sort_keys=False, allow_unicode=True)
    return "".join(f"# {line}\n" for line in heading.splitlines()) + body


def _own_config(run_dir: RunDir) -> TrainerConfig | None:
    """With the keys that an earlier version left out, so that the recipe trains what the trial trained."""
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
