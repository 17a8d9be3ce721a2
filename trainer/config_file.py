"""Read a configuration file: JSON, as the tuner writes it, or YAML, as people do."""

from pathlib import Path

from trainer.config import TrainerConfig
from trainer.errors import ConfigError


def load_config(path: Path) -> TrainerConfig:
    """YAML where the name ends so, else JSON. Raises ConfigError as `TrainerConfig.load`."""
    return _load_yaml(path) if path.suffix in (".yaml", ".yml") else TrainerConfig.load(path)


def _load_yaml(path: Path) -> TrainerConfig:
    import yaml  # a trial of the tuner has JSON, and may run where little is installed

    from trainer.strict_yaml import StrictLoader

    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid YAML ({error}).") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must hold one mapping of keys to values, but got {type(raw).__name__}.")
    return TrainerConfig.from_mapping(raw, str(path))
