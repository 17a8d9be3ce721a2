"""How a run begins: from its own checkpoint, from the state of another run, from a voice, or from the seed.

Covers what must be the same as before, and what may have changed. What a checkpoint holds is in `trainer.checkpoint`,
how a voice is fitted in `trainer.warm_start`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainer import checkpoint_files
from trainer.averaging import WeightAverage
from trainer.checkpoint import TrainingState
from trainer.config import EARLIER_DEFAULTS, OptimizerConfig, TrainerConfig, of_voice, shapes_model
from trainer.data.features import Features
from trainer.device import choose_device, set_up, use_kernels
from trainer.dotted import flatten, merge, unflatten
from trainer.errors import ConfigError, CorpusError
from trainer.model import Tacotron2
from trainer.optimizer import Adam, AdamW
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
    state = _new(config, features, run_dir, device)
    if content is not None:
        _resume(state, content)
    elif before is not None:
        _continue(state, before)
    elif start is not None:
        _start(state, start)
    return state


def _new(config: TrainerConfig, features: Features, run_dir: RunDir, device: torch.device) -> TrainingState:
    """With weights from the seed."""
    torch.manual_seed(config.seed)
    model = Tacotron2(config.model, len(features.symbols), config.audio.n_mels).to(device)
    use_kernels(model, config, device)
    state = TrainingState(config, features, run_dir, device, model, _make_optimizer(model, config.optimizer))
    state.trained = features.used_symbols()
    if config.averaging.share:
        state.average = WeightAverage(model, config.averaging.share)
    if config.corrections.kind == "all":
        state.norms = RecentNorms(device)
        state.clips = ClipFigures(features, config.model.reduction, device)
    return state


def _start(state: TrainingState, start: WarmStart) -> None:
    state.model.load_state_dict(start.weights)
    if state.average is not None:
        state.average.load_state_dict(start.weights)
    start.log(state.trained)
    state.warm_start = start
    state.add_symbols(start.symbols.taken)


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
    kind = AdamW if config.kind == "adamw" else Adam
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
