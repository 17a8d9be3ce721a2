"""A run's state: all that it needs to resume to the same numbers, which is what `last.pt` holds.

Covers saving and restoring. `trainer.resuming` builds a state, `trainer.checkpoint_files` writes the files,
`trainer.loop` changes the state.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer import checkpoint_files, voice_format
from trainer.averaging import WeightAverage
from trainer.config import TrainerConfig
from trainer.corrections.history import History
from trainer.data.features import Features
from trainer.model import Tacotron2
from trainer.protocol import RunDir
from trainer.suspects import ClipFigures
from trainer.training_figures import RecentNorms
from trainer.warm_start import WarmStart

log = logging.getLogger(__name__)


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

    def reported(self) -> dict[str, Any] | None:
        """What was saved at the last report, else the newest readable checkpoint; None where there is none."""
        saved = self._readable(self.run_dir.reported_checkpoint) if self.norms is not None else None
        return saved or checkpoint_files.newest(self.run_dir, self.device)

    def aligned(self) -> dict[str, Any] | None:
        """What was saved at the last aligned report; None where that is not kept, or cannot be read."""
        return self._readable(self.run_dir.aligned_checkpoint)

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
        self.trained = tuple(content.get("trained", self.trained))
        self.best = content["best"]
        self.kept = content.get("kept", [])
        if self.norms is not None and self.clips is not None and "history" in content:
            self.history = History.from_mapping(content["history"])
            self.norms.norms.copy_(content["norms"])
            self.clips.restore(content["clips"])

    def continue_from(self, content: dict[str, Any]) -> None:
        """Begin where another run was: with its weights, optimiser, progress and random state.

        The optimiser's settings, the reports and the time are this run's own. content: what `save` of that run wrote.
        """
        groups = [dict(group) for group in self.optimizer.param_groups]
        self._restore_training(content)
        self.add_symbols(content.get("trained", ()))
        for group, own in zip(self.optimizer.param_groups, groups, strict=True):
            group.update({key: value for key, value in own.items() if key != "params"})
        self.progress = replace(self.progress, bad_updates_in_a_row=0, rollbacks=0, seconds=0.0)

    def add_symbols(self, before: Sequence[str]) -> None:
        """before: those that were trained in what the run starts from."""
        self.trained = tuple(dict.fromkeys((*before, *self.trained)))

    def _restore_training(self, content: dict[str, Any]) -> None:
        self.restore_weights(content)
        self.progress = Progress(**content["progress"])
        self.progress = replace(self.progress, reported=self.due())  # the budget may have changed
        torch.set_rng_state(content["rng"].cpu())
        if "rng_cuda" in content and self.device.type == "cuda":
            torch.cuda.set_rng_state(content["rng_cuda"].cpu(), self.device)

    def restore_weights(self, content: dict[str, Any]) -> None:
        """Set the weights and the optimiser to what `save` wrote. What was seen of the budget stays seen."""
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.average is not None:  # a run without averages may be continued with them
            self.average.load_state_dict(content.get("average", content["model"]))
