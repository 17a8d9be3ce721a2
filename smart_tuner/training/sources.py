"""What a training takes its settings from: a trial of a study, a file for the trainer, or a voice to fine-tune."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smart_tuner.errors import StudyError
from smart_tuner.main import SmartTunerMain
from smart_tuner.run.trial_config import trial_config
from smart_tuner.store.attributes import Attr
from smart_tuner.workspace import anchor, anchored
from trainer.config import TrainerConfig, preset_settings
from trainer.config_file import load_config
from trainer.dotted import flatten
from trainer.protocol import EventKind, RunDir, all_events

# What a training sets itself, and what belongs to the place where the source was trained.
_NOT_TAKEN = ("preset", "seed", "corpus.source", "budget.", "paths.", "device.", "continue_from", "warm_start")
LONGER = 20  # times the budget of a trial
FINE_TUNING_FRAMES = 3_000_000
FINE_TUNING_RATE = 3e-4  # of so few frames 1e-4 leaves another speaker's alignment lost (docs/finetune.md)
_OF_CONSTRAINTS = ("validation.alignment_floor", "validation.best_by")


@dataclass(frozen=True)
class Source:
    """state: the last.pt of the run that a training may go on from; None: it has none here. frames: seen by then.

    voice: the best.pt of a run that fine-tuned. Its training goes on from that, with a new optimiser: of few recordings
    the voice may have been lost since its best report, and the rate has fallen.
    """

    label: str
    config: TrainerConfig
    state: Path | None = None
    frames: int = 0
    voice: Path | None = None
    is_training: bool = False  # of a voice already, not a trial of a search

    @property
    def default_frames(self) -> int:
        """For a training of which neither time nor frames are given."""
        if self.is_training:
            return self.config.budget.frames
        return FINE_TUNING_FRAMES if self.config.preset == "voice" else LONGER * self.config.budget.frames

    @property
    def settings(self) -> Mapping[str, Any]:
        """By dotted key, what differs from the preset, without what a training sets itself."""
        defaults = preset_settings(self.config.preset)
        return {
            key: value
            for key, value in flatten(asdict(self.config)).items()
            if value != defaults[key] and not key.startswith(_NOT_TAKEN) and key not in _OF_CONSTRAINTS
        }


def of_trial(tuner: SmartTunerMain, number: int | None) -> Source:
    """number: None for the best trial, or where none is feasible the one nearest to it.

    Raises StudyError where there is no such trial, or nothing on this machine says what it was trained with.
    """
    study = tuner.study()
    label = ""
    if number is None:
        result = tuner.result()
        shown = result.best or result.nearest
        if shown is None:
            raise StudyError(
                f"study {study.study_name!r}: no trial has figures yet, so there is no best setting to train; run "
                f"`smart-tuner optimize --name {study.study_name}` first."
            )
        number = shown.trial
        label = "the best " if result.best else "the nearest to feasible "
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        raise StudyError(f"study {study.study_name!r} has no trial {number}; it has {len(trials)}, counted from 0.")
    trial = trials[number]
    run = RunDir(tuner.workspace.root / trial.user_attrs.get(Attr.RUN_DIR, "missing"))
    config = trial_config(tuner.spec, number, trial.params, run)
    if config is None:
        raise StudyError(
            f"trial {number} of study {study.study_name!r} was made by another version of the study, and its folder is "
            "not on this machine; name another one with --trial."
        )
    label = f"{label}trial {number} of study {study.study_name!r}"
    is_training = not tuner.spec.search
    if config.preset == "voice" and run.best_checkpoint.is_file():
        return Source(label, config, voice=run.best_checkpoint.resolve(), is_training=is_training)
    has_state = run.last_checkpoint.is_file()
    return Source(
        label=label,
        config=config,
        state=run.last_checkpoint.resolve() if has_state else None,
        frames=_saved_frames(run) if has_state else 0,
        is_training=is_training,
    )


def of_file(path: Path) -> Source:
    """A configuration for the trainer, YAML or JSON. Raises ConfigError for an invalid one."""
    return Source(str(path), anchored(load_config(path)))


def of_voice(voice: Path, corpus: str) -> Source:
    """Fine-tuning of a voice on another corpus, with the settings of `preset: voice` but for its learning rate."""
    raw = {
        "preset": "voice",
        "warm_start": anchor(str(voice)),
        "corpus": {"source": anchor(corpus)},
        "optimizer": {"lr": FINE_TUNING_RATE},
    }
    return Source(f"the weights of {voice}", TrainerConfig.from_mapping(raw))


def _saved_frames(run: RunDir) -> int:
    """Frames that its last.pt has seen."""
    saved = [e.frames for e in all_events(run.events) if e.kind is EventKind.CHECKPOINT and not e.data["best"]]
    return saved[-1] if saved else 0
