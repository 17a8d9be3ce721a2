"""Everything that one training run depends on, as frozen dataclasses: parsed strictly, ranges checked.

The dotted names of these fields (`optimizer.lr`, `model.reduction`) are used in the whole project: studies search over
them, `config.json` holds them, MLflow shows them. Standard library only. `sections` has the fields, `presets` the two
sizes of the model and the settings of fine-tuning, `checks` what depends on more than one field.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from trainer.config.checks import EFFECTIVE_WHEN, Needs, check_ranges, is_left_to_the_voice, refuse_inert, shapes_model
from trainer.config.presets import AS_THE_VOICE, PRESETS
from trainer.config.sections import (
    AudioConfig,
    AveragingConfig,
    BatchConfig,
    BudgetConfig,
    CheckpointsConfig,
    ColumnsConfig,
    CorpusConfig,
    CorrectionsConfig,
    DeviceConfig,
    GuidedAttentionConfig,
    LoggingConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PathsConfig,
    ScheduleConfig,
    TextConfig,
    ValidationConfig,
    leaves,
    ranges_of,
    within,
)
from trainer.dotted import flatten, merge, unflatten
from trainer.errors import ConfigError
from trainer.strict import nearest, parse

__all__ = [
    "AS_THE_VOICE",
    "EARLIER_DEFAULTS",
    "EFFECTIVE_WHEN",
    "NOT_SEARCHABLE",
    "PRESETS",
    "RANGES",
    "RENAMED",
    "AudioConfig",
    "AveragingConfig",
    "BatchConfig",
    "BudgetConfig",
    "CheckpointsConfig",
    "ColumnsConfig",
    "CorpusConfig",
    "CorrectionsConfig",
    "DeviceConfig",
    "GuidedAttentionConfig",
    "LoggingConfig",
    "LossConfig",
    "ModelConfig",
    "Needs",
    "OptimizerConfig",
    "PathsConfig",
    "ScheduleConfig",
    "TextConfig",
    "TrainerConfig",
    "ValidationConfig",
    "check_ranges",
    "field_types",
    "of_voice",
    "preset_settings",
    "shapes_model",
    "suggest_key",
]


@dataclass(frozen=True)
class TrainerConfig:
    """One training run. `TrainerConfig.load` reads it, `to_json` writes it; neither loses anything."""

    preset: Literal["full", "tiny", "voice"] = "full"
    seed: int = within(1, 0, 2**32 - 1)
    warm_start: str = ""  # a voice, ours or in NVIDIA/tacotron2's layout, whose weights training starts with
    continue_from: str = ""  # another run's last.pt, whose state (weights, optimiser, frames seen) this run begins with
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    text: TextConfig = field(default_factory=TextConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    guided_attention: GuidedAttentionConfig = field(default_factory=GuidedAttentionConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    checkpoints: CheckpointsConfig = field(default_factory=CheckpointsConfig)
    corrections: CorrectionsConfig = field(default_factory=CorrectionsConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)

    @staticmethod
    def from_mapping(raw: Mapping[str, Any], where: str = "config") -> "TrainerConfig":
        """Merge the preset that `raw` names under `raw` itself, parse strictly, and check ranges.

        Raises ConfigError for an unknown key, a wrong type, a value out of range, and for a key that is set but has no
        effect because of another key.
        """
        raw = _with_new_names(raw)
        preset = raw.get("preset", "full")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ConfigError(f"{where}: `preset` must be one of {sorted(PRESETS)}, but got {preset!r}.")
        config = parse(TrainerConfig, merge(PRESETS[preset], raw), where)
        check_ranges(config, where)
        refuse_inert(config, raw, where)
        return config

    @staticmethod
    def load(path: Path) -> "TrainerConfig":
        """Raises ConfigError where the file is missing or is no JSON object, and as `from_mapping`."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: is not valid JSON ({error}).") from error
        if not isinstance(raw, dict):
            raise ConfigError(f"{path}: must hold one JSON object, but got {type(raw).__name__}.")
        return TrainerConfig.from_mapping(raw, str(path))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


# What must not be searched: trials that differ in it cannot be compared.
NOT_SEARCHABLE = (
    "preset",
    "seed",
    "warm_start",
    "continue_from",
    "corpus.",
    "text.",
    "audio.",
    "budget.",
    "validation.",
    "checkpoints.",
    "corrections.",
    "logging.",
    "device.",
    "paths.",
)


# Defaults that have changed, and what they were. A run or a study that began with them keeps them where its own
# configuration does not set another value.
EARLIER_DEFAULTS: Mapping[str, Any] = {"loss.gate_tail": 0, "loss.gate_positive_weight": 5.0}


# Earlier names, which stored studies, runs and voices still have.
RENAMED: Mapping[str, str] = {"corpus.language": "text.language"}


# Dotted name -> (smallest, largest) allowed value, both included.
RANGES: Mapping[str, tuple[float, float]] = ranges_of(TrainerConfig)


def of_voice(config: TrainerConfig, voice: TrainerConfig) -> TrainerConfig:
    """`config` with what `preset: voice` leaves to the voice; any other configuration as it is."""
    if config.preset != "voice":
        return config
    left = [f.name for f in fields(ModelConfig) if is_left_to_the_voice(config, f"model.{f.name}")]
    model = replace(config.model, **{name: getattr(voice.model, name) for name in left})
    return replace(config, preset=voice.preset, model=model)


def preset_settings(preset: str) -> dict[str, Any]:
    """Dotted name -> value, of all settings where only the preset is given."""
    return {**flatten(merge(asdict(TrainerConfig()), PRESETS[preset])), "preset": preset}


def field_types() -> dict[str, Any]:
    """Dotted name -> declared type, for each leaf of `TrainerConfig`."""
    return {name: leaf.type for name, leaf in leaves(TrainerConfig, "")}


def suggest_key(key: str) -> str:
    """A phrase for errors: the known dotted name nearest to `key`."""
    return nearest(key, field_types())


def _with_new_names(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """`raw` with the keys of `RENAMED` under their new names."""
    for old, new in RENAMED.items():
        group, _, key = old.partition(".")
        below = raw.get(group)
        if isinstance(below, Mapping) and key in below:
            rest = {name: value for name, value in below.items() if name != key}
            raw = merge(unflatten({new: below[key]}), {**raw, group: rest})
    return raw
