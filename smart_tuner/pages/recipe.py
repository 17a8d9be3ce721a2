"""The best trial as a YAML file for the trainer, with only what differs from its preset."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml

from smart_tuner.run.trial_config import trial_config
from smart_tuner.spec import StudySpec
from trainer.config import preset_settings
from trainer.dotted import flatten, unflatten
from trainer.protocol import RunDir


def recipe(spec: StudySpec, number: int, params: Mapping[str, Any], run_dir: RunDir, heading: str) -> str | None:
    """YAML for `python -m trainer --config`, with a folder of its own, so that the trial's folder stays unchanged.

    None if another version of the study made the trial, and its configuration is not on this machine.
    """
    config = trial_config(spec, number, params, run_dir)
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
