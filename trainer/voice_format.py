"""A voice: weights and all that is needed to use them. The format of `best.pt`, of imported and of exported voices.

Covers writing and reading a voice, as a file of torch's or as safetensors. The training loop decides when `best.pt`
is written; `trainer.warm_start` starts a run with a voice's weights; `trainer.nvidia.checkpoint` and `trainer.export`
cover other layouts.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer import checkpoint_files, safetensors_files
from trainer.config import ModelConfig, PathsConfig, TrainerConfig
from trainer.errors import VoiceError
from trainer.model import Tacotron2
from trainer.strict import parse
from trainer.text.symbols import CYRILLIC, LATIN, PAD

Shapes = Mapping[str, tuple[int, ...]]

_UNTRAINED: Mapping[str, str] = {"en": CYRILLIC, "ru": LATIN}  # letters of the shared table that no text had


@dataclass(frozen=True)
class Recordings:
    """What a voice was trained on."""

    corpus: str  # its name; empty: unknown
    hours: float | None = None  # of speech that it was trained on; None: unknown
    licence: str = ""  # of the recordings, in the words of whoever exported the voice; empty: not stated


@dataclass(frozen=True)
class _Origin:
    """The fields of a file with the names and types of those of `Voice`; earlier versions lack the last two."""

    symbols: tuple[str, ...]
    trained: tuple[str, ...] | None
    recordings: Recordings | None


@dataclass(frozen=True, eq=False)
class Voice:
    weights: dict[str, Tensor]  # a state dict of `Tacotron2`
    config: TrainerConfig
    symbols: tuple[str, ...]  # one for each row of the embedding
    figures: dict[str, float] | None = None  # of its best validation; None where it was not validated here
    trained: tuple[str, ...] | None = None  # the symbols of its corpora; None where they were not recorded
    recordings: Recordings | None = None  # None in files of earlier versions

    @property
    def trained_symbols(self) -> tuple[str, ...]:
        """The symbols whose rows of the embedding were trained, as far as it is known."""
        if self.trained is not None:
            return self.trained
        foreign = _UNTRAINED.get(self.config.text.language, "") if self.config.text.kind == "characters" else ""
        return tuple(symbol for symbol in self.symbols if symbol != PAD and symbol not in foreign)

    @property
    def source(self) -> Recordings:
        """What is known of the recordings; an imported voice names none."""
        return self.recordings or Recordings(corpus_name(self.config.corpus.source) if self.figures is not None else "")


def save(path: Path, voice: Voice) -> None:
    """As a file of torch's. Raises OSError where the disk is full; the old file stays then."""
    checkpoint_files.save(path, {"model": voice.weights, **about(voice)})


def save_to_share(path: Path, voice: Voice) -> None:
    """As safetensors, without the paths of this machine. Raises OSError where it cannot be written."""
    safetensors_files.save(path, voice.weights, about(to_share(voice)))


def to_share(voice: Voice) -> Voice:
    """The voice without paths of this machine, and without figures that were not measured: JSON has no NaN."""
    config = voice.config
    corpus = replace(config.corpus, source=corpus_name(config.corpus.source), validation_source="")
    config = replace(config, corpus=corpus, paths=PathsConfig(), warm_start="", continue_from="")
    figures = None if voice.figures is None else {k: v for k, v in voice.figures.items() if math.isfinite(v)}
    return replace(voice, config=config, figures=figures, recordings=voice.source)


def corpus_name(source: str) -> str:
    """`corpus.source` without the path to it: the name of a folder; of a list, with that of its folder."""
    if source.startswith("demo:"):
        return source
    parts = Path(source).parts
    is_list = Path(source).suffix[1:].isalpha()
    return "/".join(parts[-2 if is_list else -1 :]).lstrip("/")


def about(voice: Voice) -> dict[str, Any]:
    """All but the weights."""
    return {
        "config": asdict(voice.config),
        "symbols": list(voice.symbols),
        "figures": voice.figures,
        "recordings": asdict(voice.source),
        "trained": None if voice.trained is None else list(voice.trained),
    }


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
    origin = parse(_Origin, {field.name: content.get(field.name) for field in fields(_Origin)}, str(path))
    expected = shapes_of(config.model, len(origin.symbols), config.audio.n_mels)
    for problem in differences(shapes(content["model"]), expected):
        raise VoiceError(f"{path}: {problem}, by its own configuration; the file is damaged, use another one.")
    weights = {key: content["model"][key] for key in expected}
    return Voice(weights, config, origin.symbols, _figures(content, path), origin.trained, origin.recordings)


def _figures(content: Mapping[str, Any], path: Path) -> dict[str, float] | None:
    found = content.get("figures")
    if found is None or (isinstance(found, dict) and all(isinstance(value, int | float) for value in found.values())):
        return found
    raise VoiceError(f"{path}: its `figures` are no numbers; the file is damaged, use another one.")


def read(path: Path) -> dict[str, Any]:
    """The dictionary in a file that a user named. Raises VoiceError where it holds none."""
    try:
        if safetensors_files.is_one(path):
            weights, metadata = safetensors_files.read(path)
            return {"model": weights, **metadata}
        return checkpoint_files.read(path)
    except OSError as error:
        raise VoiceError(f"{path}: cannot be read ({error.strerror}).") from error
    except checkpoint_files.CheckpointError as error:
        raise VoiceError(str(error)) from error


def shapes(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """What is no whole tensor has no shape, and is left out."""
    return {key: tuple(value.shape) for key, value in weights.items() if checkpoint_files.is_whole(value)}


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
