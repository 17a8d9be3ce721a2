"""The settings that a folder of features was made with: written into it, and checked when a configuration names it.

So a trial can train on features that were copied to its machine, without the corpus. A folder in the cache needs no
check: its name is a hash of these settings and more (`trainer.data.preparation.features_folder`).
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer.config import TrainerConfig
from trainer.data.shards import FORMAT
from trainer.dotted import flatten
from trainer.errors import ConfigError
from trainer.files import write_atomically
from trainer.text import TEXT_RULES, symbols_of

SETTINGS = "settings.json"


def write_settings(folder: Path, config: TrainerConfig) -> None:
    with write_atomically(folder / SETTINGS) as beside:
        beside.write_text(json.dumps(settings_of(config)), encoding="utf-8")


def given_features(config: TrainerConfig) -> Path:
    """The folder `paths.features`. Raises ConfigError where it was not made with the settings of `config`."""
    folder = Path(config.paths.features)
    where = f"`paths.features`: {folder}"
    try:
        made_with = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if not isinstance(made_with, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{where}: its {SETTINGS} cannot be read ({error}); name a folder that `--locate` prints, or remove the "
            "key to train on the corpus."
        ) from error
    for key, value in settings_of(config).items():
        if made_with.get(key) != value:
            difference = "" if key == "symbols" else f", {made_with.get(key)!r} there and {value!r} here"
            raise ConfigError(
                f"{where}: the features were made with another `{key}`{difference}; prepare the corpus again."
            )
    return folder


def settings_of(config: TrainerConfig) -> dict[str, Any]:
    """By dotted key. The corpus itself is left out: without it, it cannot be compared."""
    values = flatten(asdict(config))
    keys = ("corpus.validation_share", "corpus.split_seed", "corpus.max_seconds")
    made_with = {key: value for key, value in values.items() if key in keys or key.startswith(("audio.", "text."))}
    return {"format": FORMAT, "text_rules": TEXT_RULES, "symbols": list(symbols_of(config.text)), **made_with}
