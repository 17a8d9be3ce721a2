"""A run's state: all that it needs to resume to the same numbers, which is what `last.pt` holds.

`open_state` builds the model and the optimiser, and resumes from the newest checkpoint where there is one. Covers
saving and restoring. `trainer.checkpoint_files` writes the files, `trainer.loop` changes the state.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer import checkpoint_files, voice_format
from trainer.averaging import WeightAverage
from trainer.config import (
    EARLIER_DEFAULTS,
    OptimizerConfig,
    TrainerConfig,
    flatten,
    merge,
    of_voice,
    shapes_model,
    unflatten,
)
from trainer.corrections.history import History
from trainer.data.features import Features
from trainer.device import choose_device, set_up
from trainer.errors import ConfigError, CorpusError
from trainer.model import Tacotron2
from trainer.protocol import RunDir
from trainer.suspects import ClipFigures
from trainer.text import SYMBOLS
from trainer.training_figures import RecentNorms
from trainer.voice_format import symbols_difference
from trainer.warm_start import WarmStart, warm_start

log = logging.getLogger(__name__)

# Settings that may differ when a run is resumed.
MAY_CHANGE = (
    "budget.",
    "validation.",
    "checkpoints.",
    "corrections.",
    "logging.",
    "device.",
    "paths.",
    "corpus.",
    "text.",
    "warm_start",
    "continue_from",
)


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
    lr_scale: float = 1.0  # factor of the scheduled learning rate, below 1 after some corrections


@dataclass(eq=False)
class TrainingState:
    """One run. The random state belongs to it, too, but is global to the process."""

    config: TrainerConfig
    features: Features
    run_dir: RunDir
    device: torch.device
    model: Tacotron2
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None
    progress: Progress = Progress()
    best: dict[str, float] | None = None  # figures of the best validation
    kept: list[dict[str, float]] = field(default_factory=list)  # figures of the reports that are kept, the best first
    start: dict[str, float] | None = None  # figures of the voice or run that it started from
    trained: tuple[str, ...] = ()  # symbols of this corpus, and of what it started from
    warm_start: WarmStart | None = None  # in the process that began the run
    resumed: bool = False  # from a checkpoint
    history: History = field(default_factory=History)  # this and the next two: where `corrections.kind` is `all`
    norms: RecentNorms | None = None
    clips: ClipFigures | None = None

    def due(self) -> int:
        """Index of the last validation that is due by now, 0 to `budget.reports`."""
        budget = self.config.budget
        return min(budget.reports, self.progress.frames * budget.reports // budget.frames)

    def save(self) -> None:
        """Write `last.pt`; the file before it becomes `previous.pt`. Raises OSError where the disk is full."""
        checkpoint_files.save(self.run_dir.last_checkpoint, self._content(), keep=self.run_dir.previous_checkpoint)

    def save_report(self, *, aligned: bool) -> None:
        """Write `reported.pt`, the same as `last.pt`, and where attention is aligned as `aligned.pt`. Raises as `save`.

        `last.pt` comes last: from there a killed run goes on, and writes the others again.
        """
        run = self.run_dir
        self.save_start(aligned=aligned)
        checkpoint_files.save_again(run.reported_checkpoint, run.last_checkpoint, keep=run.previous_checkpoint)

    def save_start(self, *, aligned: bool) -> None:
        """As `save_report`, without `last.pt`: a run that has none begins from its start. Raises as `save`."""
        run = self.run_dir
        checkpoint_files.save(run.reported_checkpoint, self._content())
        if aligned:
            checkpoint_files.save_again(run.reported_checkpoint, run.aligned_checkpoint)

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "best": self.best,
            "kept": self.kept,
            "start": self.start,
            "trained": list(self.trained),
            "settings": asdict(self.config),
            "corpus": self.features.fingerprint,
            "symbols": list(self.features.symbols),
            "rng": torch.get_rng_state(),
        }
        if self.average is not None:
            content["average"] = self.average.state_dict()
        if self.device.type == "cuda":
            content["rng_cuda"] = torch.cuda.get_rng_state(self.device)
        if self.norms is not None and self.clips is not None:
            content["history"] = self.history.to_mapping()
            content["norms"] = self.norms.norms
            content["clips"] = self.clips.state()
        return content

    def save_voice(self, path: Path, figures: dict[str, float] | None) -> None:
        """Write the present weights as a voice. figures: of their validation. Raises as `save`."""
        # A voice is used without its corpus, from which the language could be detected.
        config = replace(self.config, text=replace(self.config.text, language=self.features.language))
        voice = voice_format.Voice(
            self.model.state_dict(), config, self.features.symbols, figures, self.trained, self._recordings()
        )
        voice_format.save(path, voice)

    def _recordings(self) -> voice_format.Recordings:
        """What it is trained on; each recording counts once."""
        frames = int(self.features.frames[np.asarray(self.features.train)].sum())
        hours = frames * self.config.audio.hop_length / self.config.audio.sample_rate / 3600
        return voice_format.Recordings(voice_format.corpus_name(self.config.corpus.source), hours)

    def go_back(self) -> None:
        """Return to the last report, where that is kept, else to the newest readable checkpoint, where there is one."""
        saved = self._readable(self.run_dir.reported_checkpoint) if self.norms is not None else None
        if saved is None:
            saved = checkpoint_files.newest(self.run_dir, self.device)
        if saved is not None:
            self.restore(saved)

    def go_back_to_aligned(self) -> bool:
        """Return the weights and the optimiser to the last aligned report; False where that is not kept.

        What was seen of the budget stays seen.
        """
        saved = self._readable(self.run_dir.aligned_checkpoint)
        if saved is not None:
            self._restore_weights(saved)
        return saved is not None

    def _readable(self, path: Path) -> dict[str, Any] | None:
        try:
            return checkpoint_files.load(path, self.device)
        except (FileNotFoundError, checkpoint_files.CheckpointError) as error:
            log.warning("no return to %s: %s", path.name, error)
            return None

    def restore(self, content: dict[str, Any]) -> None:
        """Set the state to what `save` wrote."""
        self._restore_training(content)
        self.start = content.get("start")
        self.best = content["best"]
        self.kept = content.get("kept", [])
        if self.norms is not None and self.clips is not None and "history" in content:
            self.history = History.from_mapping(content["history"])
            self.norms.norms = content["norms"].to(self.device)
            self.clips.restore(content["clips"])

    def continue_from(self, content: dict[str, Any]) -> None:
        """Begin with the state of another run, by what its `save` wrote. Reports are this run's own."""
        groups = [dict(group) for group in self.optimizer.param_groups]
        own_symbols = self.trained
        self._restore_training(content)
        self.trained = _each_once(self.trained, own_symbols)
        for group, own in zip(self.optimizer.param_groups, groups, strict=True):
            group.update({key: value for key, value in own.items() if key != "params"})
        self.progress = replace(self.progress, bad_updates_in_a_row=0, rollbacks=0, seconds=0.0)

    def _restore_training(self, content: dict[str, Any]) -> None:
        self._restore_weights(content)
        self.trained = tuple(content.get("trained", self.trained))
        self.progress = Progress(**content["progress"])
        self.progress = replace(self.progress, reported=self.due())  # the budget may have changed
        torch.set_rng_state(content["rng"].cpu())
        if "rng_cuda" in content and self.device.type == "cuda":
            torch.cuda.set_rng_state(content["rng_cuda"].cpu(), self.device)

    def _restore_weights(self, content: dict[str, Any]) -> None:
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.average is not None:  # a run without averages may be continued with them
            self.average.load_state_dict(content.get("average", content["model"]))


def open_state(config: TrainerConfig, features: Features) -> TrainingState:
    """The run of `config.paths.run`: resumed from its newest checkpoint, else new, from `continue_from` or `warm_start`
    where one is set.

    Sets up the process for the device, and seeds it. Raises CorpusError or ConfigError where the checkpoint is of a run
    with another corpus or other settings.
    """
    run_dir = RunDir(Path(config.paths.run))
    run_dir.create()
    device = choose_device(config.device)
    set_up(device, config.device)
    content = checkpoint_files.newest(run_dir, device)
    before = content or (_state_to_continue(config, device) if config.continue_from else None)
    start = warm_start(config) if config.warm_start and before is None else None
    if before is not None and config.preset == "voice":
        config = of_voice(config, TrainerConfig.from_mapping(before["settings"], str(run_dir.path)))
    elif start is not None:
        config = start.config
    torch.manual_seed(config.seed)
    model = Tacotron2(config.model, len(features.symbols), config.audio.n_mels).to(device)
    if device.type == "cuda":
        model.decoder.use_graphs()
    if start is not None:
        model.load_state_dict(start.weights)
    average = WeightAverage(model, config.averaging.share) if config.averaging.share else None
    state = TrainingState(config, features, run_dir, device, model, _make_optimizer(model, config.optimizer), average)
    state.trained = features.used_symbols()
    if config.corrections.kind == "all":
        state.norms = RecentNorms(device)
        state.clips = ClipFigures(features, config.model.reduction, device)
    if content is not None:
        _resume(state, content)
    elif before is not None:
        _continue(state, before)
    elif start is not None:
        start.tell(state.trained)
        state.warm_start = start
        state.trained = _each_once(start.symbols.taken, state.trained)
    return state


def _each_once(before: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """The symbols of both."""
    return tuple(dict.fromkeys((*before, *own)))


def _resume(state: TrainingState, content: dict[str, Any]) -> None:
    """Raises CorpusError or ConfigError where the content is of a run with another corpus or other settings."""
    settings = flatten(content.get("settings", {}))
    _refuse_other_symbols(content.get("symbols", SYMBOLS), state)
    _refuse_another_corpus(content, state)
    state.config = _as_it_began(state.config, settings)
    _refuse_other_settings(settings, state)
    state.restore(content)
    state.resumed = True


def _state_to_continue(config: TrainerConfig, device: torch.device) -> dict[str, Any]:
    """Raises ConfigError where `continue_from` is no state of a run."""
    path = config.continue_from
    try:
        content = checkpoint_files.load(Path(path), device)
    except (OSError, checkpoint_files.CheckpointError) as error:
        raise ConfigError(f"`continue_from`: {path}: cannot be read ({error}); name the last.pt of a run.") from error
    if "optimizer" not in content:
        raise ConfigError(
            f"`continue_from`: {path}: is a voice, which holds no state of training; name the last.pt of a run, or use "
            "`warm_start`."
        )
    return content


def _continue(state: TrainingState, content: dict[str, Any]) -> None:
    """Raises ConfigError where the content is of a run with other settings."""
    path = state.config.continue_from
    before = flatten(content.get("settings", {}))
    ours = flatten(asdict(state.config))
    other = [key for key in ours if shapes_model(key) and before.get(key, ours[key]) != ours[key]]
    if other or symbols_difference(content.get("symbols", SYMBOLS), state.features.symbols):
        listed = ", ".join(f"`{key}` {before[key]!r} there, {ours[key]!r} here" for key in other) or "its symbols"
        raise ConfigError(f"`continue_from`: {path}: is of another model ({listed}); use the settings of that run.")
    seen = int(content["progress"]["frames"])
    if seen >= state.config.budget.frames:
        raise ConfigError(
            f"`continue_from`: {path}: has seen {seen:,} frames, and `budget.frames`, which counts from the beginning, "
            f"is {state.config.budget.frames:,}; raise it."
        )
    state.continue_from(content)
    log.info("goes on from %s, after %s frames", path, f"{state.progress.frames:,}")


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
