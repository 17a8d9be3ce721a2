"""A run's state: all that it needs to resume to the same numbers, which is what `last.pt` holds.

`open_state` builds the model and the optimiser, and resumes from the newest checkpoint where there is one. Covers
saving and restoring. `trainer.checkpoint_files` writes the files, `trainer.loop` changes the state.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainer import checkpoint_files, voice_format
from trainer.config import EARLIER_DEFAULTS, OptimizerConfig, TrainerConfig, flatten, merge, unflatten
from trainer.data.features import Features
from trainer.device import choose_device, set_up
from trainer.errors import ConfigError, CorpusError
from trainer.model import Tacotron2
from trainer.protocol import RunDir
from trainer.text import SYMBOLS
from trainer.voice_format import symbols_difference

log = logging.getLogger(__name__)

# Settings that may differ when a run is resumed.
MAY_CHANGE = ("budget.", "validation.", "logging.", "device.", "paths.", "corpus.", "text.", "warm_start")


@dataclass(frozen=True)
class Progress:
    """How far a run is. Stored in `last.pt` as it is."""

    frames: int = 0  # mel frames of speech seen
    update: int = 0
    epoch: int = 0
    position: int = 0  # batches seen of this epoch
    reported: int = 0  # index of the last validation
    seconds: float = 0.0  # spent training, summed over all starts
    bad_updates_in_a_row: int = 0
    rollbacks: int = 0
    lr_scale: float = 1.0  # below 1 after a rollback


@dataclass(eq=False)
class TrainingState:
    """One run. The random state belongs to it, too, but is global to the process."""

    config: TrainerConfig
    features: Features
    run_dir: RunDir
    device: torch.device
    model: Tacotron2
    optimizer: torch.optim.Optimizer
    progress: Progress = Progress()
    best: dict[str, float] | None = None  # figures of the best validation
    resumed: bool = False  # from a checkpoint

    def due(self) -> int:
        """Index of the last validation that is due by now, 0 to `budget.reports`."""
        budget = self.config.budget
        return min(budget.reports, self.progress.frames * budget.reports // budget.frames)

    def save(self) -> None:
        """Write `last.pt`; the file before it becomes `previous.pt`. Raises OSError where the disk is full."""
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "best": self.best,
            "settings": asdict(self.config),
            "corpus": self.features.fingerprint,
            "symbols": list(self.features.symbols),
            "rng": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            content["rng_cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint_files.save(self.run_dir.last_checkpoint, content, keep=self.run_dir.previous_checkpoint)

    def save_best(self) -> None:
        """Write `best.pt`, a voice. Raises as `save`."""
        # A voice is used without its corpus, from which the language could be detected.
        config = replace(self.config, text=replace(self.config.text, language=self.features.language))
        voice = voice_format.Voice(self.model.state_dict(), config, self.features.symbols, self.best)
        voice_format.save(self.run_dir.best_checkpoint, voice)

    def go_back(self) -> None:
        """Return to the newest readable checkpoint, where there is one."""
        if (saved := checkpoint_files.newest(self.run_dir, self.device)) is not None:
            self.restore(saved)

    def restore(self, content: dict[str, Any]) -> None:
        """Set the state to what `save` wrote."""
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.progress = Progress(**content["progress"])
        self.progress = replace(self.progress, reported=self.due())  # the budget may have changed
        self.best = content["best"]
        torch.set_rng_state(content["rng"].cpu())
        if "rng_cuda" in content and self.device.type == "cuda":
            torch.cuda.set_rng_state(content["rng_cuda"].cpu(), self.device)


def open_state(config: TrainerConfig, features: Features) -> TrainingState:
    """The run of `config.paths.run`: resumed from its newest checkpoint, else new, from `warm_start` where it is set.

    Sets up the process for the device, and seeds it. Raises CorpusError or ConfigError where the checkpoint is of a run
    with another corpus or other settings.
    """
    run_dir = RunDir(Path(config.paths.run))
    run_dir.create()
    device = choose_device(config.device)
    set_up(device, config.device)
    torch.manual_seed(config.seed)
    model = Tacotron2(config.model, len(features.symbols), config.audio.n_mels).to(device)
    if device.type == "cuda":
        model.decoder.use_graphs()
    state = TrainingState(config, features, run_dir, device, model, _make_optimizer(model, config.optimizer))
    content = checkpoint_files.newest(run_dir, device)
    if content is not None:
        settings = flatten(content.get("settings", {}))
        _refuse_other_symbols(content.get("symbols", SYMBOLS), state)
        _refuse_another_corpus(content, state)
        state.config = _as_it_began(config, settings)
        _refuse_other_settings(settings, state)
        state.restore(content)
        state.resumed = True
    elif (weights := voice_format.warm_start(config)) is not None:
        model.load_state_dict(weights)
        log.info("starts with the weights of %s", config.warm_start)
    return state


def _make_optimizer(model: Tacotron2, config: OptimizerConfig) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    betas = (config.beta1, config.beta2)
    return kind(
        model.parameters(), lr=config.lr, betas=betas, eps=config.eps, weight_decay=config.weight_decay, fused=True
    )


def _refuse_other_symbols(before: Sequence[str], state: TrainingState) -> None:
    if difference := symbols_difference(before, state.features.symbols):
        raise ConfigError(
            f"the run in {state.run_dir.path} began with another symbol table: it {difference}. Restore `text.kind`, "
            "or give the run another folder (`paths.run`)."
        )


def _refuse_another_corpus(content: Mapping[str, Any], state: TrainingState) -> None:
    if content["corpus"] == state.features.fingerprint:
        return
    if "symbols" not in content:  # of a version that read numbers, dates and the like in another way
        log.warning(
            "%s: the run began with an earlier version, which read some texts or recordings in another way; it goes on "
            "with what this version reads",
            state.config.corpus.source,
        )
    else:
        raise CorpusError(
            f"{state.config.corpus.source}: the corpus has changed since the run in {state.run_dir.path} began, so "
            "the run cannot be resumed. Restore the corpus, or start again: a study under another name (--name), a run "
            "in another folder (`paths.run`)."
        )


def _as_it_began(config: TrainerConfig, saved: Mapping[str, Any]) -> TrainerConfig:
    """`config`, but with an earlier default where `saved` has it and `config` has today's."""
    values = flatten(asdict(config))
    defaults = flatten(asdict(TrainerConfig()))
    kept = {
        key: earlier
        for key, earlier in EARLIER_DEFAULTS.items()
        if saved.get(key, earlier) == earlier and values[key] == defaults[key]
    }
    for key, value in kept.items():
        log.info("`%s` stays %r, with which the run began, and does not become %r", key, value, values[key])
    return TrainerConfig.from_mapping(merge(asdict(config), unflatten(kept)))


def _refuse_other_settings(before: Mapping[str, Any], state: TrainingState) -> None:
    """before: the checkpoint's settings, by dotted name. Those that the run's numbers depend on must be the same."""
    for key, value in flatten(asdict(state.config)).items():
        if not key.startswith(MAY_CHANGE) and key in before and before[key] != value:
            raise ConfigError(
                f"`{key}` was {before[key]!r} when the run in {state.run_dir.path} began, and is {value!r} now. "
                "Restore it, or give the run another folder (`paths.run`)."
            )
