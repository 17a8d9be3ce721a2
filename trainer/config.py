"""Everything that one training run depends on, as frozen dataclasses; parsed strictly, checked where it is defined.

The dotted names of these fields (`optimizer.lr`, `model.reduction`) are the vocabulary of the whole
project: studies search over them, `config.json` holds them, MLflow shows them. Standard library only.
`PRESETS` holds the two model sizes; `EFFECTIVE_WHEN` says which keys have an effect only beside others.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from trainer.errors import ConfigError
from trainer.strict import nearest, parse


@dataclass(frozen=True)
class CorpusConfig:
    """Where the speech comes from and how it is split."""

    source: str = "demo:en"  # demo:en, demo:ru, a folder in LJSpeech layout, or a file list of `path|text` lines
    validation_source: str = ""  # a second file list; empty: `validation_share` of `source`, drawn by `split_seed`
    validation_share: float = 0.05
    split_seed: int = 1234
    language: Literal["auto", "en", "ru"] = "auto"  # how numbers are spelled out; auto: by the script of the texts
    max_seconds: float = 12.0  # longer clips are left out, and counted in the log


@dataclass(frozen=True)
class AudioConfig:
    """Log-mel features in the form that NVIDIA's Tacotron 2 and the HiFi-GAN vocoders share."""

    sample_rate: int = 22050  # Hz; recordings at other rates are resampled
    n_fft: int = 1024  # samples
    hop_length: int = 256  # samples
    win_length: int = 1024  # samples
    n_mels: int = 80
    fmin: float = 0.0  # Hz
    fmax: float = 8000.0  # Hz
    log_floor: float = 1e-5  # magnitudes are clipped here, so that silence is log(1e-5) = -11.5
    trim_db: float = 40.0  # edge silence this far below the clip's peak is cut; 0 keeps it


@dataclass(frozen=True)
class ModelConfig:
    """Tacotron 2 (Shen et al. 2018, arXiv:1712.05884, section 2.2); the defaults are the paper's size."""

    embedding_dim: int = 512
    encoder_dim: int = 512  # channels of the convolutions; the LSTM has half of it in each direction
    encoder_convolutions: int = 3
    encoder_kernel: int = 5
    encoder_dropout: float = 0.5
    prenet_dim: int = 256
    prenet_dropout: float = 0.5  # stays on at inference
    attention_rnn_dim: int = 1024
    attention_dim: int = 128
    location_filters: int = 32
    location_kernel: int = 31
    attention_dropout: float = 0.1
    decoder_rnn_dim: int = 1024
    decoder_dropout: float = 0.1
    reduction: int = 1  # r: mel frames per decoder step
    postnet_dim: int = 512
    postnet_convolutions: int = 5
    postnet_kernel: int = 5
    postnet_dropout: float = 0.5


@dataclass(frozen=True)
class LossConfig:
    """Weights of the stop-token ("gate") loss beside the mel loss."""

    gate_weight: float = 1.0
    gate_positive_weight: float = 5.0  # of the one step per utterance that must say stop


@dataclass(frozen=True)
class GuidedAttentionConfig:
    """Guided attention loss (Tachibana et al. 2017, arXiv:1710.08969, section 4), per valid decoder step."""

    enabled: bool = True
    weight: float = 0.1
    sigma: float = 0.3
    half_life_frames: int = 0  # the weight halves each time this many frames were seen; 0: constant


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam or AdamW, and the gradient's global norm at which it is clipped."""

    kind: Literal["adam", "adamw"] = "adam"
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-6
    weight_decay: float = 1e-6
    gradient_clip: float = 1.0


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate's course: linear warm-up, then constant, exponential or cosine down to `final_factor * lr`."""

    kind: Literal["constant", "exponential", "cosine"] = "constant"
    warmup_updates: int = 0
    final_factor: float = 0.1  # reached when the budget is spent


@dataclass(frozen=True)
class BatchConfig:
    """Bucketed by length, padded to the longest clip of the batch."""

    size: int = 32  # clips


@dataclass(frozen=True)
class BudgetConfig:
    """How long to train, counted in mel frames of speech seen, so that batch size and r change nothing."""

    frames: int = 600_000
    reports: int = 10  # validations, at fixed fractions of `frames`


@dataclass(frozen=True)
class ValidationConfig:
    """What counts as a model that can speak, and how much is looked at. None of it may be searched."""

    alignment_floor: float = 0.5  # best.pt is the checkpoint of least loss among those that reach it
    batch_size: int = 16
    free_running_utterances: int = 8  # spoken without the teacher at the end


@dataclass(frozen=True)
class LoggingConfig:
    """Cadence of the record."""

    progress_every_updates: int = 10
    checkpoint_every_seconds: float = 60.0  # beside one at each validation
    tensorboard: bool = True
    pictures: bool = True
    samples: bool = True


@dataclass(frozen=True)
class DeviceConfig:
    """Where and how the arithmetic runs."""

    name: str = "auto"  # auto, cpu, cuda, cuda:1
    threads: int = 0  # of torch on a CPU; 0: one per core
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: bf16 on CUDA, else float32


@dataclass(frozen=True)
class PathsConfig:
    """Where files go. Relative paths are relative to the process's working directory."""

    run: str = "workspace/runs/single"  # the trial directory
    tensorboard: str = "workspace/logs/single"
    cache: str = "workspace/cache"


@dataclass(frozen=True)
class TrainerConfig:
    """One training run. `TrainerConfig.load` reads it, `to_json` writes it; both ways lose nothing."""

    preset: Literal["full", "tiny"] = "full"
    seed: int = 1
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    guided_attention: GuidedAttentionConfig = field(default_factory=GuidedAttentionConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)

    @staticmethod
    def from_mapping(raw: Mapping[str, Any], where: str = "config") -> "TrainerConfig":
        """Merge the preset that `raw` names under `raw` itself, parse strictly, and check ranges.

        Raises ConfigError for an unknown key, a wrong type, a value out of range, and for a key that
        was given a value of its own but has no effect beside the others.
        """
        preset = raw.get("preset", "full")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ConfigError(f"{where}: `preset` must be one of {sorted(PRESETS)}, but got {preset!r}.")
        config = parse(TrainerConfig, merge(PRESETS[preset], raw), where)
        check_ranges(config, where)
        _refuse_inert(config, raw, where)
        return config

    @staticmethod
    def load(path: Path) -> "TrainerConfig":
        """Raises ConfigError where the file is missing, is no JSON object, or breaks a rule of `from_mapping`."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise ConfigError(f"{path}: is not valid JSON ({error}).") from error
        if not isinstance(raw, dict):
            raise ConfigError(f"{path}: must hold one JSON object, but got {type(raw).__name__}.")
        return TrainerConfig.from_mapping(raw, str(path))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


# About 1.2 M parameters: aligns on the embedded corpus in under a minute on two cores.
_TINY: dict[str, Any] = {
    "model": {
        "embedding_dim": 128,
        "encoder_dim": 128,
        "prenet_dim": 64,
        "attention_rnn_dim": 128,
        "attention_dim": 64,
        "location_filters": 16,
        "decoder_rnn_dim": 128,
        "postnet_dim": 128,
        "reduction": 4,
        "encoder_dropout": 0.1,
        "postnet_dropout": 0.1,
        "attention_dropout": 0.0,
        "decoder_dropout": 0.0,
    },
    "optimizer": {"lr": 2e-3, "weight_decay": 0.0},
    "batch": {"size": 16},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {"full": {}, "tiny": _TINY}


@dataclass(frozen=True)
class Needs:
    """A key has an effect only where `test` holds for the value of another one."""

    key: str
    test: Callable[[Any], bool]
    words: str


_GUIDED = Needs("guided_attention.enabled", lambda enabled: bool(enabled), "true")

EFFECTIVE_WHEN: Mapping[str, Needs] = {
    "guided_attention.weight": _GUIDED,
    "guided_attention.sigma": _GUIDED,
    "guided_attention.half_life_frames": _GUIDED,
    "schedule.final_factor": Needs("schedule.kind", lambda kind: kind != "constant", "exponential or cosine"),
    "corpus.validation_share": Needs("corpus.validation_source", lambda source: not source, "empty"),
    "corpus.split_seed": Needs("corpus.validation_source", lambda source: not source, "empty"),
}

# key -> (smallest, largest) allowed value, both included.
RANGES: Mapping[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "corpus.validation_share": (0.001, 0.5),
    "corpus.split_seed": (0, 2**32 - 1),
    "corpus.max_seconds": (0.1, 600),
    "audio.sample_rate": (4000, 192_000),
    "audio.n_fft": (16, 65536),
    "audio.hop_length": (1, 65536),
    "audio.win_length": (16, 65536),
    "audio.n_mels": (1, 512),
    "audio.fmin": (0, 96_000),
    "audio.fmax": (1, 96_000),
    "audio.log_floor": (1e-12, 1),
    "audio.trim_db": (0, 200),
    "model.embedding_dim": (1, 8192),
    "model.encoder_dim": (2, 8192),
    "model.encoder_convolutions": (0, 16),
    "model.encoder_kernel": (1, 63),
    "model.encoder_dropout": (0, 0.95),
    "model.prenet_dim": (1, 8192),
    "model.prenet_dropout": (0, 0.95),
    "model.attention_rnn_dim": (1, 8192),
    "model.attention_dim": (1, 8192),
    "model.location_filters": (1, 512),
    "model.location_kernel": (1, 255),
    "model.attention_dropout": (0, 0.95),
    "model.decoder_rnn_dim": (1, 8192),
    "model.decoder_dropout": (0, 0.95),
    "model.reduction": (1, 20),
    "model.postnet_dim": (1, 8192),
    "model.postnet_convolutions": (2, 16),
    "model.postnet_kernel": (1, 63),
    "model.postnet_dropout": (0, 0.95),
    "loss.gate_weight": (0, 1000),
    "loss.gate_positive_weight": (0.01, 1000),
    "guided_attention.weight": (0, 10_000),
    "guided_attention.sigma": (0.01, 10),
    "guided_attention.half_life_frames": (0, 10**12),
    "optimizer.lr": (1e-9, 10),
    "optimizer.beta1": (0, 0.99999),
    "optimizer.beta2": (0, 0.9999999),
    "optimizer.eps": (1e-16, 1),
    "optimizer.weight_decay": (0, 10),
    "optimizer.gradient_clip": (1e-6, 1e6),
    "schedule.warmup_updates": (0, 10**9),
    "schedule.final_factor": (0, 1),
    "batch.size": (1, 4096),
    "budget.frames": (1, 10**12),
    "budget.reports": (1, 1000),
    "validation.alignment_floor": (0, 1),
    "validation.batch_size": (1, 4096),
    "validation.free_running_utterances": (0, 1000),
    "logging.progress_every_updates": (1, 10**6),
    "logging.checkpoint_every_seconds": (0, 86_400),
    "device.threads": (0, 1024),
}

# What a search must not touch, because trials that differ in it cannot be compared.
NOT_SEARCHABLE = ("preset", "seed", "corpus.", "audio.", "budget.", "validation.", "logging.", "device.", "paths.")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; `over` wins. Neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optimizer": {"lr": 1}} -> {"optimizer.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"optimizer.lr": 1} -> {"optimizer": {"lr": 1}}."""
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, leaf = dotted.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return nested


def field_types() -> dict[str, Any]:
    """Dotted name -> declared type, for each leaf of `TrainerConfig`."""
    return _field_types(TrainerConfig, "")


def _field_types(kind: Any, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for f in fields(kind):
        if is_dataclass(f.type):
            found.update(_field_types(f.type, f"{prefix}{f.name}."))
        else:
            found[prefix + f.name] = f.type
    return found


def suggest_key(key: str) -> str:
    """The known dotted name nearest to `key`, in words."""
    return nearest(key, field_types())


def check_ranges(config: TrainerConfig, where: str) -> None:
    """Raises ConfigError for the first value outside `RANGES`, and for audio settings that contradict each other."""
    values = flatten(asdict(config))
    for key, (low, high) in RANGES.items():
        if not low <= values[key] <= high:  # also refuses NaN
            raise ConfigError(f"{where}: `{key}` must lie between {low:g} and {high:g}, but got {values[key]!r}.")
    audio = config.audio
    if audio.win_length > audio.n_fft:
        raise ConfigError(
            f"{where}: `audio.win_length` must not exceed `audio.n_fft` ({audio.n_fft}), but got {audio.win_length}."
        )
    if not audio.fmin < audio.fmax <= audio.sample_rate / 2:
        raise ConfigError(
            f"{where}: `audio.fmin < audio.fmax <= audio.sample_rate / 2` must hold, but got "
            f"{audio.fmin:g}, {audio.fmax:g} and {audio.sample_rate}."
        )
    for key in ("model.encoder_dim",):
        if values[key] % 2:
            raise ConfigError(f"{where}: `{key}` must be even (half for each direction), but got {values[key]}.")
    for key in ("model.encoder_kernel", "model.location_kernel", "model.postnet_kernel"):
        if values[key] % 2 == 0:
            raise ConfigError(f"{where}: `{key}` must be odd, so that lengths are kept, but got {values[key]}.")


def _refuse_inert(config: TrainerConfig, raw: Mapping[str, Any], where: str) -> None:
    values, given, defaults = flatten(asdict(config)), flatten(raw), flatten(asdict(TrainerConfig()))
    for key, needs in EFFECTIVE_WHEN.items():
        if key in given and given[key] != defaults[key] and not needs.test(values[needs.key]):
            raise ConfigError(
                f"{where}: `{key}` = {given[key]!r} has no effect, since `{needs.key}` is {values[needs.key]!r}; "
                f"remove it, or set `{needs.key}` to {needs.words}."
            )
