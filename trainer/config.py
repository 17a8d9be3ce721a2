"""Everything that one training run depends on, as frozen dataclasses: parsed strictly, ranges checked.

The dotted names of these fields (`optimizer.lr`, `model.reduction`) are used in the whole project: studies search over
them, `config.json` holds them, MLflow shows them. Standard library only. `PRESETS` holds the two model sizes, and
the settings of fine-tuning; `EFFECTIVE_WHEN` lists the keys that have an effect only together with others.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from trainer.errors import ConfigError
from trainer.objectives import DEFAULT_OBJECTIVE, OBJECTIVES
from trainer.strict import nearest, parse

_T = TypeVar("_T", int, float)


def within(default: _T, low: float, high: float) -> _T:
    """A field whose value must be between `low` and `high`, both included."""
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True)
class ColumnsConfig:
    """The columns of a list: names of its header, or numbers from 1; empty: found by their values.

    speaker: "none" where no column names speakers.
    """

    recording: str | int = ""
    text: str | int = ""
    speaker: str | int = ""


@dataclass(frozen=True)
class CorpusConfig:
    """Where the speech comes from and how it is split."""

    source: str = "demo:en"  # demo:en, demo:ru:1000:f3, a folder, or a list of recordings and texts: docs/corpora.md
    validation_source: str = ""  # a second list; empty: `validation_share` of `source`, drawn by `split_seed`
    layout: Literal["auto", "ljspeech", "list", "table", "json", "pairs"] = "auto"  # auto: found by looking at it
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    speaker: str | int = ""  # clips of this speaker only; "all": of all speakers, as one voice
    follow_links: bool = False  # recordings may be outside of the corpus's folder, behind links or by their paths
    validation_share: float = within(0.05, 0.001, 0.5)
    split_seed: int = within(1234, 0, 2**32 - 1)
    max_seconds: float = within(12.0, 0.1, 600)  # longer clips are left out, and counted in the log
    leave_out: str = ""  # a file of clips not to train on: their ids, one per line, or a table such as suspects.csv


@dataclass(frozen=True)
class TextConfig:
    """What the model reads: the letters of English and Russian, or phonemes of any language that espeak-ng knows."""

    kind: Literal["characters", "phonemes"] = "characters"
    language: str = "auto"  # characters: en, ru, or auto, by the texts; phonemes: a language of espeak-ng, such as de


@dataclass(frozen=True)
class AudioConfig:
    """Log-mel features in the form that NVIDIA's Tacotron 2 and the HiFi-GAN vocoders share."""

    sample_rate: int = within(22050, 4000, 192_000)  # Hz; recordings at other rates are resampled
    n_fft: int = within(1024, 16, 65536)  # samples
    hop_length: int = within(256, 1, 65536)  # samples
    win_length: int = within(1024, 16, 65536)  # samples
    n_mels: int = within(80, 1, 512)
    fmin: float = within(0.0, 0, 96_000)  # Hz
    fmax: float = within(8000.0, 1, 96_000)  # Hz
    log_floor: float = within(1e-5, 1e-12, 1)  # magnitudes are clipped here, so that silence is log(1e-5) = -11.5
    trim_db: float = within(40.0, 0, 200)  # edge silence this far below the clip's peak is cut; 0 keeps it
    level: float = within(0.0, -60, 0)  # LUFS that each recording is brought to, such as -23; 0 keeps its loudness


@dataclass(frozen=True)
class ModelConfig:
    """Tacotron 2 (Shen et al. 2018, arXiv:1712.05884, section 2.2); the defaults are the paper's size."""

    embedding_dim: int = within(512, 1, 8192)
    encoder_dim: int = within(512, 2, 8192)  # channels of the convolutions; half of it in each direction of the LSTM
    encoder_convolutions: int = within(3, 0, 16)
    encoder_kernel: int = within(5, 1, 63)
    encoder_dropout: float = within(0.5, 0, 0.95)
    prenet_dim: int = within(256, 1, 8192)
    prenet_dropout: float = within(0.5, 0, 0.95)  # stays on at inference
    attention_rnn_dim: int = within(1024, 1, 8192)
    attention_dim: int = within(128, 1, 8192)
    location_filters: int = within(32, 1, 512)
    location_kernel: int = within(31, 1, 255)
    attention_dropout: float = within(0.1, 0, 0.95)
    decoder_rnn_dim: int = within(1024, 1, 8192)
    decoder_dropout: float = within(0.1, 0, 0.95)
    reduction: int = within(1, 1, 20)  # r: mel frames per decoder step
    postnet_dim: int = within(512, 1, 8192)
    postnet_convolutions: int = within(5, 2, 16)
    postnet_kernel: int = within(5, 1, 63)
    postnet_dropout: float = within(0.5, 0, 0.95)


@dataclass(frozen=True)
class LossConfig:
    """Weights of the stop-token ("gate") loss beside the mel loss."""

    gate_weight: float = within(1.0, 0, 1000)
    gate_positive_weight: float = within(8.0, 0.01, 1000)  # of the steps where the gate must fire, all together
    # Decoder steps of silence after the last one at which the gate must fire, too. Without them a voice whose gate
    # misses the last step is in a state that no training step showed, and may never end.
    gate_tail: int = within(3, 0, 100)


@dataclass(frozen=True)
class GuidedAttentionConfig:
    """Guided attention loss (Tachibana et al. 2017, arXiv:1710.08969, section 4), per valid decoder step."""

    enabled: bool = True
    weight: float = within(0.1, 1e-6, 10_000)
    sigma: float = within(0.3, 0.01, 10)
    half_life_frames: int = within(0, 0, 10**12)  # the weight halves each time so many frames were seen; 0: constant


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam or AdamW, and the global norm at which gradients are clipped."""

    kind: Literal["adam", "adamw"] = "adam"
    lr: float = within(1e-3, 1e-9, 10)
    beta1: float = within(0.9, 0, 0.99999)
    beta2: float = within(0.999, 0, 0.9999999)
    eps: float = within(1e-6, 1e-16, 1)
    weight_decay: float = within(1e-6, 0, 10)
    gradient_clip: float = within(1.0, 1e-6, 1e6)


@dataclass(frozen=True)
class AveragingConfig:
    """Averaged weights (`trainer.averaging`): each report measures them, too, and best.pt is the better of the two."""

    share: float = within(0.0, 0, 1)  # of the updates so far over which the mean reaches back; 0: no averaging


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over time: linear warm-up, then constant, or down to `final_factor * lr`.

    exponential and cosine fall from the beginning, wsd (warm-up, stable, decay) at the end.
    """

    kind: Literal["constant", "exponential", "cosine", "wsd"] = "constant"
    warmup_updates: int = within(0, 0, 10**9)
    final_factor: float = within(0.1, 0, 1)  # reached when the budget is spent
    decay_share: float = within(0.3, 0.01, 1)  # of the budget, at its end, over which wsd falls


@dataclass(frozen=True)
class BatchConfig:
    """Clips are bucketed by length, and padded to the longest clip of the batch."""

    size: int = within(32, 1, 4096)  # clips


@dataclass(frozen=True)
class BudgetConfig:
    """How long to train, counted in mel frames of speech seen: independent of batch size and r."""

    frames: int = within(600_000, 1, 10**12)
    reports: int = within(10, 1, 1000)  # validations, at fixed fractions of `frames`


@dataclass(frozen=True)
class ValidationConfig:
    """Which checkpoint is the best, and how much is measured. None of these keys may be searched."""

    alignment_floor: float = within(0.5, 0, 1)  # best.pt: the best among validations that reach it, else among all
    best_by: str = DEFAULT_OBJECTIVE  # the figure by which a report is the best: a key of `OBJECTIVES`
    patience: int = within(0, 0, 1000)  # reports in a row without a better one, after which training ends; 0: never
    batch_size: int = within(16, 1, 4096)
    free_running_utterances: int = within(8, 0, 1000)  # validation clips whose texts are spoken without a teacher
    free_running_share: float = within(0.03, 0.001, 1)  # of a run's time that it may take; 1: at each report


@dataclass(frozen=True)
class CheckpointsConfig:
    """Which voices are kept beside best.pt, in the same folder."""

    best: int = within(1, 1, 100)  # the best reports; with more than one, also as report-0012.pt
    every_hours: float = within(0.0, 0, 1000)  # of training; numbered: hours-0012.pt; 0: none
    most_gib: float = within(20.0, 0, 100_000)  # of those by the hour; the oldest are deleted


@dataclass(frozen=True)
class CorrectionsConfig:
    """What a run does by itself where its training goes wrong (docs/corrections.md)."""

    # safety: about updates that are not finite alone, so that trials of a study can be compared; all: also about
    # exploding gradients, alignment that is late or lost, and a loss that does not improve
    kind: Literal["safety", "all"] = "safety"


@dataclass(frozen=True)
class LoggingConfig:
    """How often events and checkpoints are written, and what is made for people."""

    progress_every_updates: int = within(10, 1, 10**6)
    checkpoint_every_seconds: float = within(60.0, 0, 86_400)  # besides one at each validation
    tensorboard: bool = True
    pictures: bool = True
    samples: bool = True


@dataclass(frozen=True)
class DeviceConfig:
    """Where and how the arithmetic runs."""

    name: str = "auto"  # auto, cpu, cuda, cuda:1
    threads: int = within(0, 0, 1024)  # of torch on a CPU; 0: one per core
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: bf16 on CUDA, else float32
    kernels: Literal["auto", "fused", "torch"] = "auto"  # of the recurrences on CUDA; auto: fused on known cards


@dataclass(frozen=True)
class PathsConfig:
    """Where files go. Relative paths are relative to the process's working directory."""

    run: str = "workspace/runs/single"  # the trial directory
    tensorboard: str = "workspace/logs/single"
    cache: str = "workspace/cache"
    features: str = ""  # train on this folder of prepared features, without the corpus; empty: use the corpus


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
        _refuse_inert(config, raw, where)
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


# About 1.2 M parameters: learns to align on the embedded corpus in under a minute on two cores.
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

AS_THE_VOICE = -1  # with `preset: voice`: the value that the voice of `warm_start` has

# Fine-tuning: the sizes of the model are those of `warm_start`, and so are the dropouts that are not set.
_VOICE: dict[str, Any] = {
    "model": {f.name: AS_THE_VOICE for f in fields(ModelConfig)},
    "optimizer": {"lr": 1e-4},
    "schedule": {"kind": "cosine"},
    "guided_attention": {"weight": 0.05},
    "batch": {"size": 16},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {"full": {}, "tiny": _TINY, "voice": _VOICE}


@dataclass(frozen=True)
class Needs:
    """A key has an effect only where `test` holds for the value of another one."""

    key: str
    test: Callable[[Any], bool]
    requirement: str  # in words, for the error


_GUIDED = Needs("guided_attention.enabled", lambda enabled: bool(enabled), "true")

EFFECTIVE_WHEN: Mapping[str, Needs] = {
    "guided_attention.weight": _GUIDED,
    "guided_attention.sigma": _GUIDED,
    "guided_attention.half_life_frames": _GUIDED,
    "loss.gate_positive_weight": Needs("loss.gate_weight", lambda weight: weight > 0, "a weight above 0"),
    "schedule.final_factor": Needs("schedule.kind", lambda kind: kind != "constant", "exponential, cosine or wsd"),
    "schedule.decay_share": Needs("schedule.kind", lambda kind: kind == "wsd", "wsd"),
    "corpus.validation_share": Needs("corpus.validation_source", lambda source: not source, "empty"),
    "corpus.split_seed": Needs("corpus.validation_source", lambda source: not source, "empty"),
}

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


# Earlier names, which stored studies, runs and voices still have.
RENAMED: Mapping[str, str] = {"corpus.language": "text.language"}


def shapes_model(key: str) -> bool:
    """Whether the shapes of the weights depend on the dotted `key`."""
    return key == "audio.n_mels" or (key.startswith("model.") and not key.endswith("_dropout"))


def of_voice(config: TrainerConfig, voice: TrainerConfig) -> TrainerConfig:
    """`config` with what `preset: voice` leaves to the voice; any other configuration as it is."""
    if config.preset != "voice":
        return config
    left = [f.name for f in fields(ModelConfig) if _is_left_to_the_voice(config, f"model.{f.name}")]
    model = replace(config.model, **{name: getattr(voice.model, name) for name in left})
    return replace(config, preset=voice.preset, model=model)


def _with_new_names(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """`raw` with the keys of `RENAMED` under their new names."""
    for old, new in RENAMED.items():
        group, _, key = old.partition(".")
        below = raw.get(group)
        if isinstance(below, Mapping) and key in below:
            rest = {name: value for name, value in below.items() if name != key}
            raw = merge(unflatten({new: below[key]}), {**raw, group: rest})
    return raw


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


def preset_settings(preset: str) -> dict[str, Any]:
    """Dotted name -> value, of all settings where only the preset is given."""
    return {**flatten(merge(asdict(TrainerConfig()), PRESETS[preset])), "preset": preset}


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"optimizer.lr": 1} -> {"optimizer": {"lr": 1}}."""
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, leaf = dotted.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = value
    return nested


def field_types() -> dict[str, Any]:
    """Dotted name -> declared type, for each leaf of `TrainerConfig`."""
    return {name: leaf.type for name, leaf in _leaves(TrainerConfig, "")}


def _leaves(kind: Any, prefix: str) -> Iterator[tuple[str, Field[Any]]]:
    for f in fields(kind):
        if is_dataclass(f.type):
            yield from _leaves(f.type, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, f


# Defaults that have changed, and what they were. A run or a study that began with them keeps them where its own
# configuration does not set another value.
EARLIER_DEFAULTS: Mapping[str, Any] = {"loss.gate_tail": 0, "loss.gate_positive_weight": 5.0}

# Dotted name -> (smallest, largest) allowed value, both included.
RANGES: Mapping[str, tuple[float, float]] = {
    name: leaf.metadata["range"] for name, leaf in _leaves(TrainerConfig, "") if "range" in leaf.metadata
}


def suggest_key(key: str) -> str:
    """A phrase for errors: the known dotted name nearest to `key`."""
    return nearest(key, field_types())


def _check_text(text: TextConfig, where: str) -> None:
    if text.kind == "phonemes" and not re.fullmatch(r"(?!auto$)[A-Za-z]{2,20}(-[A-Za-z0-9]+)*", text.language):
        raise ConfigError(
            f"{where}: `text.kind: phonemes` needs `text.language`, a language of espeak-ng such as de, fr or en-gb, "
            f"but got {text.language!r}."
        )
    if text.kind == "characters" and text.language not in ("auto", "en", "ru"):
        raise ConfigError(
            f"{where}: `text.language` must be one of 'auto', 'en', 'ru' for `text.kind: characters`, but got "
            f"{text.language!r}; for other languages set also `text.kind: phonemes`."
        )


def _check_names(config: TrainerConfig, where: str) -> None:
    _check_text(config.text, where)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", config.device.name):
        raise ConfigError(
            f"{where}: `device.name` must be auto, cpu, cuda or one such as cuda:1, but got {config.device.name!r}."
        )
    if config.validation.best_by not in OBJECTIVES:
        allowed = ", ".join(map(repr, OBJECTIVES))
        raise ConfigError(
            f"{where}: `validation.best_by` must be one of {allowed}, but got {config.validation.best_by!r}."
        )


def _is_left_to_the_voice(config: TrainerConfig, key: str) -> bool:
    name = key.removeprefix("model.")
    return config.preset == "voice" and name != key and getattr(config.model, name) == AS_THE_VOICE


def _check_voice(config: TrainerConfig, where: str) -> None:
    if not (config.warm_start or config.continue_from):
        raise ConfigError(f"{where}: `preset: voice` needs `warm_start`, the voice to start from, but it is empty.")
    keys = [f"model.{f.name}" for f in fields(ModelConfig)]
    set_here = [f"`{key}`" for key in keys if shapes_model(key) and not _is_left_to_the_voice(config, key)]
    if set_here:
        raise ConfigError(
            f"{where}: {', '.join(set_here)} must not be set with `preset: voice`, which takes the sizes of the model "
            "and its reduction factor from `warm_start`; remove that, or name another preset."
        )


def check_ranges(config: TrainerConfig, where: str) -> None:
    """Raises ConfigError for the first value outside `RANGES`, and for other values that cannot be used."""
    if config.preset == "voice":
        _check_voice(config, where)
    values = {key: value for key, value in flatten(asdict(config)).items() if not _is_left_to_the_voice(config, key)}
    for key, value in values.items():
        low, high = RANGES.get(key, (value, value))
        if not low <= value <= high:  # also refuses NaN
            raise ConfigError(f"{where}: `{key}` must lie between {low:g} and {high:g}, but got {value!r}.")
    _check_names(config, where)
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
    if (width := values.get("model.encoder_dim", 0)) % 2:
        raise ConfigError(f"{where}: `model.encoder_dim` must be even (half for each direction), but got {width}.")
    for key in ("model.encoder_kernel", "model.location_kernel", "model.postnet_kernel"):
        if key in values and values[key] % 2 == 0:
            raise ConfigError(f"{where}: `{key}` must be odd, so that the length is kept, but got {values[key]}.")


def _refuse_inert(config: TrainerConfig, raw: Mapping[str, Any], where: str) -> None:
    values = flatten(asdict(config))
    given = flatten(raw)
    defaults = [preset_settings(preset) for preset in PRESETS]
    for key, needs in EFFECTIVE_WHEN.items():
        if key in given and all(given[key] != each[key] for each in defaults) and not needs.test(values[needs.key]):
            raise ConfigError(
                f"{where}: `{key}` = {given[key]!r} has no effect, since `{needs.key}` is {values[needs.key]!r}; "
                f"remove it, or set `{needs.key}` to {needs.requirement}."
            )
