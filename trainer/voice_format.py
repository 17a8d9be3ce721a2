"""A voice: weights and all that is needed to use them. The format of `best.pt` and of imported checkpoints.

Covers writing and reading a voice, and starting a run with its weights (`warm_start`). The training loop decides when
`best.pt` is written; `trainer.nvidia.checkpoint` covers other layouts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer import checkpoint_files
from trainer.config import ModelConfig, TrainerConfig, flatten, shapes_model
from trainer.errors import ConfigError, VoiceError
from trainer.model import Tacotron2
from trainer.text import symbols_of

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Voice:
    weights: dict[str, Tensor]  # a state dict of `Tacotron2`
    config: TrainerConfig
    symbols: tuple[str, ...]  # one for each row of the embedding
    figures: dict[str, float] | None = None  # of its best validation; None where it was not validated here


def save(path: Path, voice: Voice) -> None:
    """Raises OSError where the disk is full; the old file stays then."""
    content = {
        "model": voice.weights,
        "config": asdict(voice.config),
        "symbols": list(voice.symbols),
        "figures": voice.figures,
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
    voice = Voice(content["model"], config, tuple(content["symbols"]), content.get("figures"))
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


def warm_start(config: TrainerConfig) -> dict[str, Tensor] | None:
    """The weights that a run starts with; None where it starts with random ones.

    Raises VoiceError where the voice that `warm_start` names cannot be read, and ConfigError where its shapes differ
    from the configured model's, or its symbols from ours.
    """
    if not config.warm_start:
        return None
    path = Path(config.warm_start)
    try:
        voice = load(path)
    except VoiceError as error:
        raise VoiceError(f"`warm_start`: {error}") from error
    _refuse_other_shapes(voice, config)
    _refuse_other_symbols(path, voice, config)
    return voice.weights


def _refuse_other_shapes(voice: Voice, config: TrainerConfig) -> None:
    theirs, ours = flatten(asdict(voice.config)), flatten(asdict(config))
    other = [key for key in ours if shapes_model(key) and ours[key] != theirs[key]]
    if other:
        listed = ", ".join(f"`{key}` must be {theirs[key]}, but got {ours[key]}" for key in other)
        raise ConfigError(
            f"`warm_start`: {config.warm_start}: its weights have other shapes than this model: {listed}. "
            "Set them so, or start without `warm_start`."
        )


def _refuse_other_symbols(path: Path, voice: Voice, config: TrainerConfig) -> None:
    difference = symbols_difference(voice.symbols, symbols_of(config.text))
    if not difference:
        return
    if voice.config.text.kind != config.text.kind:
        why = f"it reads {voice.config.text.kind}, and `text.kind` is {config.text.kind}"
    else:
        why = "it is of another version of this program, with another symbol table"
    raise ConfigError(f"`warm_start`: {path}: {difference}: {why}. Use another voice, or start without `warm_start`.")


def symbols_difference(symbols: Sequence[str], expected: Sequence[str]) -> str:
    """Where two tables differ first; empty where they are the same."""
    if tuple(symbols) == tuple(expected):
        return ""
    row = next((i for i, (a, b) in enumerate(zip(symbols, expected, strict=False)) if a != b), None)
    if row is None:
        return f"has {len(symbols)} symbols, but {len(expected)} was expected"
    return f"has {symbols[row]!r} as symbol {row}, but {expected[row]!r} was expected"
