"""What a run shows people on its way: alignment plots, mels, samples to listen to; each told as an event."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from trainer.config import TrainerConfig
from trainer.data.features import Features
from trainer.protocol import EventKind, RunDir
from trainer.summaries import Array, Mel, Summaries, draw_alignment, draw_mels
from trainer.synthesis import Spoken
from trainer.validation import Validation

SAMPLES = 3  # sentences that a run which ends lets one hear; more take long to make, and say no more


class Exhibits:
    """Writes nothing where `logging.pictures` and `logging.samples` are off."""

    def __init__(
        self,
        config: TrainerConfig,
        features: Features,
        summaries: Summaries,
        emit: Callable[[EventKind, dict[str, Any]], None],
    ) -> None:
        self._config, self._features, self._summaries, self._emit = config, features, summaries, emit
        self._run_dir = RunDir(Path(config.paths.run))

    def validation(self, result: Validation, index: int, frames: int, update: int) -> None:
        """One utterance of validation number `index`, with the teacher's frames."""
        if not self._config.logging.pictures:
            return
        out, clip = result.output, result.shown
        score = result.figures["alignment"]
        title = f"validation {index}, {frames:,} frames, alignment {score:.2f}"
        self._alignment(
            f"validation-{index:03d}", "alignment", out.attention[0, : int(out.steps[0])], clip, title, update
        )
        recorded = self._features.mel(clip)
        self._mels("mel", "mel", {"recorded": recorded, "predicted": _array(out.mel[0, : len(recorded)])}, clip, update)

    def free_running(self, spoken: Spoken, clips: Sequence[int], update: int) -> None:
        """What was spoken without a teacher: a look at the first of these clips' texts, and samples of some."""
        if self._config.logging.pictures:
            clip, out = clips[0], spoken.output
            title = f"without a teacher, alignment {spoken.figures['alignment']:.2f}"
            attention = out.attention[0, : int(out.steps[0])]
            self._alignment("free-running", "free_running_alignment", attention, clip, title, update)
            rows: dict[str, Mel] = {"recorded": self._features.mel(clip), "spoken": _array(spoken.mel(0))}
            self._mels("free-running-mel", "free_running_mel", rows, clip, update)
        self.samples(spoken, clips[:SAMPLES], update)

    def samples(self, spoken: Spoken, clips: Sequence[int], update: int) -> None:
        """The same sentences in every trial of a corpus, under the same names, so that they can be compared."""
        if not self._config.logging.samples:
            return
        for row, clip in enumerate(clips):
            mel = _array(spoken.mel(row))
            if np.isfinite(mel).all():  # else there is nothing to be heard
                path = self._run_dir.samples / f"sample-{row + 1}.wav"
                self._summaries.sample(path.stem, mel, self._config.audio, path, update)
                self._tell(path, "sample", clip)

    def _alignment(self, file: str, name: str, attention: Tensor, clip: int, title: str, update: int) -> None:
        """attention: (T, N or more)."""
        text = self._features.text(clip)
        path = self._run_dir.alignments / f"{file}.png"
        figure = draw_alignment(_array(attention[:, : len(text)]), text, title)
        self._summaries.picture(name, figure, path, update)
        self._tell(path, "alignment", clip)

    def _mels(self, file: str, name: str, rows: Mapping[str, Mel], clip: int, update: int) -> None:
        path = self._run_dir.alignments / f"{file}.png"
        self._summaries.picture(name, draw_mels(rows, self._features.text(clip)), path, update)
        self._tell(path, "mel", clip)

    def _tell(self, path: Path, what: str, clip: int) -> None:
        relative = path.relative_to(self._run_dir.path).as_posix()
        self._emit(EventKind.ARTIFACT, {"path": relative, "what": what, "text": self._features.text(clip)})


def _array(x: Tensor) -> Array:
    array: Array = x.float().cpu().numpy()
    return array
