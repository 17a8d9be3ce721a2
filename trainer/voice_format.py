"""A voice: weights and all that is needed to use them. The format of `best.pt` and of imported checkpoints.

Covers writing and reading a voice. The training loop decides when `best.pt` is written; `trainer.warm_start` starts a
run with a voice's weights; `trainer.nvidia.checkpoint` covers other layouts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer import checkpoint_files
from trainer.config import ModelConfig, TrainerConfig
from trainer.errors import VoiceError
from trainer.model import Tacotron2
from trainer.text.symbols import CYRILLIC, LATIN, PAD

Shapes = Mapping[str, tuple[int, ...]]

_UNTRAINED: Mapping[str, str] = {"en": CYRILLIC, "ru": LATIN}  # letters of the shared table that no text had


@dataclass(frozen=True, eq=False)
class Voice:
    weights: dict[str, Tensor]  # a state dict of `Tacotron2`
    config: TrainerConfig
    symbols: tuple[str, ...]  # one for each row of the embedding
    figures: dict[str, float] | None = None  # of its best validation; None where it was not validated here
    trained: tuple[str, ...] | None = None  # the symbols of its corpora; None where they were not recorded

    @property
    def trained_symbols(self) -> tuple[str, ...]:
        """The symbols whose rows of the embedding were trained, as far as it is known."""
        if self.trained is not None:
            return self.trained
        foreign = _UNTRAINED.get(self.config.text.language, "") if self.config.text.kind == "characters" else ""
        return tuple(symbol for symbol in self.symbols if symbol != PAD and symbol not in foreign)


def save(path: Path, voice: Voice) -> None:
    """Raises OSError where the disk is full; the old file stays then."""
    content = {
        "model": voice.weights,
        "config": asdict(voice.config),
        "symbols": list(voice.symbols),
        "figures": voice.figures,
        "trained": None if voice.trained is None else list(voice.trained),
    }
    checkpoint_files.save(path, content)


def load(path: Path) -> Voice:
    """Load onto the CPU. Raises VoiceError where the file is not a complete voice, ConfigError for unknown settings."""
    content = read(path)
    if "state_dict" in content:
        raise VoiceError(
            f"{path}: has the layout of NVIDIA/tacotron2; import it first: "
            f"`python -m trainer import {path} --to voice.pt`."
        )
    for key, kind in (("model", dict), ("config", dict), ("symbols", list)):
        if not isinstance(content.get(key), kind):
            raise VoiceError(
                f"{path}: is no voice: it has no `{key}`; give a best.pt, or the output of `python -m trainer import`."
            )
    config = TrainerConfig.from_mapping(content["config"], str(path))
    trained = content.get("trained")  # earlier versions did not record it
    voice = Voice(
        content["model"],
        config,
        tuple(content["symbols"]),
        content.get("figures"),
        None if trained is None else tuple(trained),
    )
    expected = shapes_of(config.model, len(voice.symbols), config.audio.n_mels)
    for problem in differences(shapes(voice.weights), expected):
        raise VoiceError(f"{path}: {problem}, by its own configuration; the file is damaged, use another one.")
    return voice


def read(path: Path) -> dict[str, Any]:
    """The dictionary in a file that a user named. Raises VoiceError where it holds none."""
    try:
        return checkpoint_files.read(path)
    except OSError as error:
        raise VoiceError(f"{path}: cannot be read ({error.strerror}).") from error
    except checkpoint_files.CheckpointError as error:
        raise VoiceError(str(error)) from error


def shapes(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """What is no tensor has no shape, and is left out."""
    return {key: tuple(value.shape) for key, value in weights.items() if isinstance(value, Tensor)}


def shapes_of(config: ModelConfig, symbols: int, n_mels: int) -> Shapes:
    """The shape of each tensor in the state dict of such a model. Allocates no memory for them."""
    with torch.device("meta"):
        return shapes(Tacotron2(config, symbols, n_mels).state_dict())


def differences(got: Shapes, expected: Shapes) -> Iterator[str]:
    """One clause for each tensor that is missing, has another shape, or is not in the model."""
    for key, shape in expected.items():
        if key not in got:
            yield f"`{key}` {shape} is missing"
        elif got[key] != shape:
            yield f"`{key}` must have the shape {shape}, but got {got[key]}"
    for key in got:
        if key not in expected:
            yield f"`{key}` {got[key]} is not in the model"


def symbols_difference(symbols: Sequence[str], expected: Sequence[str]) -> str:
    """Where two tables differ first; empty where they are the same."""
    if tuple(symbols) == tuple(expected):
        return ""
    row = next((i for i, (a, b) in enumerate(zip(symbols, expected, strict=False)) if a != b), None)
    if row is None:
        return f"has {len(symbols)} symbols, but {len(expected)} was expected"
    return f"has {symbols[row]!r} as symbol {row}, but {expected[row]!r} was expected"
