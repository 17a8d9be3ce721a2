"""What no field can say of itself: values that need others, names, and sizes that do not fit. Standard library only."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from trainer.config.presets import AS_THE_VOICE, PRESETS
from trainer.config.sections import ModelConfig, TextConfig, ranges_of
from trainer.dotted import flatten, merge
from trainer.errors import ConfigError
from trainer.objectives import OBJECTIVES

if TYPE_CHECKING:
    from trainer.config import TrainerConfig


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


def shapes_model(key: str) -> bool:
    """Whether the shapes of the weights depend on the dotted `key`."""
    return key == "audio.n_mels" or (key.startswith("model.") and not key.endswith("_dropout"))


def is_left_to_the_voice(config: "TrainerConfig", key: str) -> bool:
    """With `preset: voice`: whether the value of `key` is that of the voice of `warm_start`."""
    name = key.removeprefix("model.")
    return config.preset == "voice" and name != key and getattr(config.model, name) == AS_THE_VOICE


def check_ranges(config: "TrainerConfig", where: str) -> None:
    """Raises ConfigError for the first value outside its range, and for other values that cannot be used."""
    if config.preset == "voice":
        _check_voice(config, where)
    ranges = ranges_of(type(config))
    values = {key: value for key, value in flatten(asdict(config)).items() if not is_left_to_the_voice(config, key)}
    for key, value in values.items():
        low, high = ranges.get(key, (value, value))
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


def refuse_inert(config: "TrainerConfig", raw: Mapping[str, Any], where: str) -> None:
    """Raises ConfigError for a key that `raw` sets and that has no effect because of another one."""
    values = flatten(asdict(config))
    given = flatten(raw)
    defaults = [flatten(merge(asdict(type(config)()), settings)) for settings in PRESETS.values()]
    for key, needs in EFFECTIVE_WHEN.items():
        if key in given and all(given[key] != each[key] for each in defaults) and not needs.test(values[needs.key]):
            raise ConfigError(
                f"{where}: `{key}` = {given[key]!r} has no effect, since `{needs.key}` is {values[needs.key]!r}; "
                f"remove it, or set `{needs.key}` to {needs.requirement}."
            )


def _check_names(config: "TrainerConfig", where: str) -> None:
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


def _check_voice(config: "TrainerConfig", where: str) -> None:
    if not (config.warm_start or config.continue_from):
        raise ConfigError(f"{where}: `preset: voice` needs `warm_start`, the voice to start from, but it is empty.")
    keys = [f"model.{f.name}" for f in fields(ModelConfig)]
    set_here = [f"`{key}`" for key in keys if shapes_model(key) and not is_left_to_the_voice(config, key)]
    if set_here:
        raise ConfigError(
            f"{where}: {', '.join(set_here)} must not be set with `preset: voice`, which takes the sizes of the model "
            "and its reduction factor from `warm_start`; remove that, or name another preset."
        )
