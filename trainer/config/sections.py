"""The parts of a configuration, one for each first word of a dotted name. Standard library only."""

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar

from trainer.objectives import DEFAULT_OBJECTIVE

_T = TypeVar("_T", int, float)


def within(default: _T, low: float, high: float) -> _T:
    """A field whose value must be between `low` and `high`, both included."""
    return field(default=default, metadata={"range": (low, high)})


def leaves(kind: Any, prefix: str) -> Iterator[tuple[str, Field[Any]]]:
    """Dotted name and field, for each leaf of the dataclass `kind`."""
    for f in fields(kind):
        if is_dataclass(f.type):
            yield from leaves(f.type, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, f


def ranges_of(kind: Any) -> dict[str, tuple[float, float]]:
    """Dotted name -> (smallest, largest) allowed value, both included."""
    return {name: leaf.metadata["range"] for name, leaf in leaves(kind, "") if "range" in leaf.metadata}


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
