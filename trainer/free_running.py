"""Free-running synthesis, and the figures that need it.

Teacher-forced figures measure how well the next frame is predicted; these measure whether the voice can speak: the
alignment score, whether every sentence ends by its gate, and the error of its duration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.alignment import alignment_score
from trainer.data.batches import Batch, Padding, collate
from trainer.data.features import Features
from trainer.model import Tacotron2, Tacotron2Output
from trainer.validation import Shown

EARLY = 0.7  # an utterance shorter than this share of the recording counts as stopped early
LIMIT = 2.0  # times the corpus's mean frames per token: slower speech is not plausible
LIMIT_MARGIN = 40  # frames


@dataclass(frozen=True)
class Spoken:
    """A few utterances, synthesised free-running."""

    output: Tacotron2Output
    batch: Batch
    figures: dict[str, float]

    def shown(self, row: int) -> Shown:
        """One utterance, up to where its gate fired."""
        frames = int(self.output.steps[row]) * (self.output.mel.shape[1] // self.output.attention.shape[1])
        return Shown.of(self.output, row, int(self.batch.token_lengths[row]), frames)


def frame_limit(features: Features, token_lengths: Tensor) -> Tensor:
    """The longest plausible length of each utterance, in frames: (B,)."""
    frames = sum(int(features.frames[i]) for i in features.train)
    tokens = sum(len(features.tokens(i)) for i in features.train)
    return (token_lengths * (LIMIT * frames / max(1, tokens)) + LIMIT_MARGIN).long()


def speak(
    model: Tacotron2, features: Features, indices: Sequence[int], log_floor: float, device: torch.device
) -> Spoken:
    """Speak the texts of `indices`, and compare with the recordings. Leaves the model in eval mode."""
    model.eval()
    batch = collate(features, indices, Padding(model.reduction), log_floor)
    limit = frame_limit(features, batch.token_lengths)
    output = model.infer(batch.tokens.to(device), batch.token_lengths, limit.to(device))
    score = alignment_score(output.attention, batch.token_lengths, output.steps).summary()
    frames = output.steps.cpu() * model.reduction
    true = batch.mel_lengths
    figures = {
        **score,
        "reached_limit": (frames >= limit).float().mean().item(),
        "stopped_early": (frames < EARLY * true).float().mean().item(),
        "duration_error": ((frames - true).abs() / true).mean().item(),
    }
    return Spoken(output, batch, figures)
