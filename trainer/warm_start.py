"""What a run starts with where `warm_start` names a voice: its weights, fitted to the symbols of the run.

Covers voices of ours, and checkpoints in the layout of NVIDIA/tacotron2, which are converted in memory; what must be
the same is checked. The optimiser starts anew (`trainer.resuming`). Does not cover the search space of fine-tuning
(`studies/finetune.yaml`).
"""

import logging
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer import voice_format
from trainer.config import TrainerConfig, of_voice, shapes_model
from trainer.dotted import flatten
from trainer.embeddings import EMBEDDING, Mapped, mapped, spelled
from trainer.errors import ConfigError, VoiceError
from trainer.nvidia.checkpoint import voice_in_its_own_table
from trainer.text import symbols_of
from trainer.voice_format import Voice

log = logging.getLogger(__name__)
LISTED = 40  # symbols in the log

_SAME_RECORDINGS = ("source", "validation_source", "speaker", "validation_share", "split_seed")
# Settings of the features that a model was trained on: with others it hears other sounds.
_SAME_AUDIO = ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels", "fmin", "fmax", "log_floor")


@dataclass(frozen=True, eq=False)
class WarmStart:
    """config: the run's, with the sizes of the voice; weights: for the run's table of symbols."""

    config: TrainerConfig
    weights: dict[str, Tensor]
    symbols: Mapped
    is_of_same_recordings: bool

    def report(self, used: Collection[str]) -> dict[str, Any]:
        """used: the symbols of the corpus. Of all others it does not matter whether they are new."""
        return {
            "voice": self.config.warm_start,
            "taken": [symbol for symbol in self.symbols.taken if symbol in used],
            "new": [symbol for symbol in self.symbols.new if symbol in used],
            "left_out": list(self.symbols.left_out),
        }

    def log(self, used: Collection[str]) -> None:
        """used: as for `report`."""
        report = self.report(used)
        taken = report["taken"]
        new = report["new"]
        left_out = report["left_out"]
        log.info(
            "starts with the weights of %s: %d of the corpus's %d symbols taken over; new (%d): %s; left out (%d): %s",
            self.config.warm_start,
            len(taken),
            len(taken) + len(new),
            len(new),
            spelled(new, LISTED),
            len(left_out),
            spelled(left_out, LISTED),
        )


def warm_start(config: TrainerConfig) -> WarmStart:
    """Raises VoiceError where the voice that `warm_start` names cannot be read, and ConfigError, with all differences,
    where its audio settings, or the shapes of its weights, are not those of the run.
    """
    voice = _read(Path(config.warm_start))
    fitted = of_voice(config, voice.config)
    if problems := [*_other_audio(voice, fitted), *_other_shapes(voice, fitted)]:
        raise ConfigError(f"`warm_start`: {config.warm_start}: {' '.join(problems)}")
    symbols = mapped(
        voice.weights[EMBEDDING], voice.symbols, symbols_of(config.text), voice.trained_symbols, config.seed
    )
    weights = {**voice.weights, EMBEDDING: symbols.rows}
    # An imported voice does not say of which recordings it is. Of another split, it may have learned those that judge.
    is_same = voice.figures is not None and all(
        getattr(voice.config.corpus, key) == getattr(config.corpus, key) for key in _SAME_RECORDINGS
    )
    return WarmStart(fitted, weights, symbols, is_same)


def _read(path: Path) -> Voice:
    try:
        content = voice_format.read(path)
        return voice_in_its_own_table(content, None, path) if "state_dict" in content else voice_format.load(path)
    except VoiceError as error:
        raise VoiceError(f"`warm_start`: {error}") from error


def _other_audio(voice: Voice, config: TrainerConfig) -> Iterator[str]:
    theirs, ours = asdict(voice.config.audio), asdict(config.audio)
    other = [
        f"`audio.{key}` must be {theirs[key]}, but got {ours[key]}" for key in _SAME_AUDIO if ours[key] != theirs[key]
    ]
    if other:
        yield f"it was trained on other features: {', '.join(other)}. Set them so, or use another voice."


def _other_shapes(voice: Voice, config: TrainerConfig) -> Iterator[str]:
    theirs, ours = flatten(asdict(voice.config)), flatten(asdict(config))
    keys = [key for key in ours if shapes_model(key) and key.startswith("model.") and ours[key] != theirs[key]]
    if keys:
        listed = ", ".join(f"`{key}` must be {theirs[key]}, but got {ours[key]}" for key in keys)
        yield (
            f"its weights have other shapes than this model: {listed}. Set them so, or let `preset` be voice, which "
            "takes them from the voice."
        )
