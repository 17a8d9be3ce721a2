"""A run's state: all that it needs to go on to the same numbers, which is what `last.pt` holds.

`open_state` builds the model and the optimiser, and resumes from the newest checkpoint where there is one. Covers
saving and restoring. How files are written is in `trainer.checkpoint`, how the state changes in `trainer.loop`.
"""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch

from trainer import checkpoint, voice
from trainer.config import OptimizerConfig, TrainerConfig, flatten
from trainer.data.features import Features
from trainer.device import choose_device, set_up
from trainer.errors import ConfigError, CorpusError
from trainer.model import Tacotron2
from trainer.protocol import RunDir
from trainer.text import SYMBOLS

log = logging.getLogger(__name__)

# Settings that a run may be continued with, other than those it began with.
MAY_CHANGE = ("budget.", "validation.", "logging.", "device.", "paths.", "corpus.", "warm_start")


@dataclass(frozen=True)
class Progress:
    """Where a run is. Goes into `last.pt` as it is."""

    frames: int = 0  # mel frames of speech seen
    update: int = 0
    epoch: int = 0
    position: int = 0  # batches of this epoch that were seen
    reported: int = 0  # index of the last validation
    seconds: float = 0.0  # spent training, over all starts
    bad_updates_in_a_row: int = 0
    rollbacks: int = 0
    lr_scale: float = 1.0  # below 1 after a rollback


@dataclass(eq=False)
class TrainingState:
    """One run. The random state, which is the process's, belongs to it, too."""

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
        """Index of the last validation that should have been made, 0 to `budget.reports`."""
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
            "rng": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            content["rng_cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint.save(self.run_dir.last_checkpoint, content, keep=self.run_dir.previous_checkpoint)

    def save_best(self) -> None:
        """Write `best.pt`, a voice. Raises as `save`."""
        # Whoever speaks with it has no corpus to tell the language from.
        language = cast(Literal["en", "ru"], self.features.language)
        config = replace(self.config, corpus=replace(self.config.corpus, language=language))
        voice.save(self.run_dir.best_checkpoint, voice.Voice(self.model.state_dict(), config, SYMBOLS, self.best))

    def go_back(self) -> None:
        """Return to the newest checkpoint, where there is one that can be read."""
        if (saved := checkpoint.newest(self.run_dir, self.device)) is not None:
            self.restore(saved)

    def restore(self, content: dict[str, Any]) -> None:
        """Take over what `save` has written."""
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.progress = Progress(**content["progress"])
        self.progress = replace(self.progress, reported=self.due())  # the budget may be another one
        self.best = content["best"]
        torch.set_rng_state(content["rng"].cpu())
        if "rng_cuda" in content and self.device.type == "cuda":
            torch.cuda.set_rng_state(content["rng_cuda"].cpu(), self.device)


def open_state(config: TrainerConfig, features: Features) -> TrainingState:
    """The run of `config.paths.run`: as its newest checkpoint has it, else anew, perhaps with the weights of a voice.

    Sets up the process for the device, and seeds it. Raises CorpusError or ConfigError where the checkpoint belongs to
    a run of another corpus or with other settings.
    """
    run_dir = RunDir(Path(config.paths.run))
    run_dir.create()
    device = choose_device(config.device)
    set_up(device, config.device)
    torch.manual_seed(config.seed)
    model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels).to(device)
    if device.type == "cuda":
        model.decoder.use_graphs()
    state = TrainingState(config, features, run_dir, device, model, _make_optimizer(model, config.optimizer))
    content = checkpoint.newest(run_dir, device)
    if content is not None:
        _refuse_another_corpus(content["corpus"], state)
        _refuse_other_settings(content.get("settings", {}), state)
        state.restore(content)
        state.resumed = True
    elif (weights := voice.warm_start(config)) is not None:
        model.load_state_dict(weights)
        log.info("begins with the weights of %s", config.warm_start)
    return state


def _make_optimizer(model: Tacotron2, config: OptimizerConfig) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    betas = (config.beta1, config.beta2)
    return kind(
        model.parameters(), lr=config.lr, betas=betas, eps=config.eps, weight_decay=config.weight_decay, fused=True
    )


def _refuse_another_corpus(fingerprint: int, state: TrainingState) -> None:
    if fingerprint != state.features.fingerprint:
        raise CorpusError(
            f"{state.config.corpus.source}: the corpus has changed since the run in {state.run_dir.path} began, so "
            "that it cannot be continued. Put the corpus back as it was, or begin anew: a study by another name "
            "(--name), a run in another folder (`paths.run`)."
        )


def _refuse_other_settings(began: dict[str, Any], state: TrainingState) -> None:
    """began: the settings at the beginning of the run. Those that its numbers depend on must be the same."""
    before = flatten(began)
    for key, value in flatten(asdict(state.config)).items():
        if not key.startswith(MAY_CHANGE) and key in before and before[key] != value:
            raise ConfigError(
                f"`{key}` was {before[key]!r} when the run in {state.run_dir.path} began, and is {value!r} now. "
                "Put it back, or give the run another folder (`paths.run`)."
            )
