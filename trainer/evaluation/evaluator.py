"""Evaluates a model on the same sentences each time, as far as the trial can afford it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainer.config import AudioConfig
from trainer.data.features import Features
from trainer.evaluation.sentences import Recordings, Sentence, measure, summary
from trainer.evaluation.speech import Speech, speak
from trainer.evaluation.verdict import PREFIX
from trainer.model import Tacotron2

CEILING_CLIPS = 2  # recordings that are resynthesised
# Time to speak and measure a frame, in times to train on one, by device type. On CUDA each decoder step waits for the
# one before, whatever the batch, and the CPU measures the distances: 50 to 65 in trials of the quickstart, more where
# larger batches train faster (docs/performance.md).
COST = {"cpu": 1.5, "cuda": 75.0}


@dataclass(frozen=True, eq=False)
class Evaluation:
    speech: Speech
    sentences: list[Sentence]
    figures: dict[str, float]  # of `summary`


class Evaluator:
    """clips: whose texts are spoken. share: of a run's time that all its evaluations may take; 1: at each report."""

    def __init__(
        self,
        features: Features,
        clips: Sequence[int],
        audio: AudioConfig,
        device: torch.device,
        share: float,
    ) -> None:
        self._features = features
        self._clips = clips
        self._audio = audio
        self._device = device
        self._share = share
        self._recordings = Recordings(features)

    def is_due(self, report: int, frames: float, *, is_last: bool, times: int = 1) -> bool:
        """Whether to evaluate at this report, so that all take at most `share` of the time; the last is due.

        frames: of training between two reports. times: evaluations at each. Depends on nothing else, so that a resumed
        run evaluates the same.
        """
        if self._share >= 1:
            return True
        spoken = sum(int(self._features.frames[clip]) for clip in self._clips)
        between = times * spoken * COST[self._device.type] / self._share
        return is_last or report * frames // between > (report - 1) * frames // between

    def evaluate(self, model: Tacotron2) -> Evaluation:
        """Leaves the model in eval mode and the random state unchanged."""
        speech = speak(model, self._features, self._clips, self._audio.log_floor, self._device)
        sentences = measure(speech, self._features, self._recordings)
        return Evaluation(speech, sentences, summary(sentences))

    def ceiling(self) -> dict[str, float]:
        """Distance of a few recordings to themselves after Griffin-Lim; empty without the libraries for audio."""
        clips = self._clips[:CEILING_CLIPS]
        try:
            return {"ceiling_mcd": self._recordings.ceiling(clips, self._audio, self._device)}
        except ImportError:
            return {}


def with_prefix(figures: dict[str, float]) -> dict[str, float]:
    """As they are called among the figures of a trial."""
    return {f"{PREFIX}{name}": value for name, value in figures.items()}
