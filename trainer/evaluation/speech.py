"""Free-running speech of clips of the corpus: the input of each decoder step is the output of the one before."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.data.batches import Batch, Padding, collate
from trainer.data.features import Features
from trainer.model import Tacotron2, Tacotron2Output
from trainer.validation import Array, Shown

SEED = 20180208  # of the prenet's dropout, which stays on
LIMIT = 2.0  # times the corpus's mean frames per token: slower speech is not plausible
LIMIT_MARGIN = 40  # frames


@dataclass(frozen=True, eq=False)
class Speech:
    """A few clips, spoken free-running. Rows of `output` and `batch` belong together."""

    output: Tacotron2Output
    batch: Batch
    limit: Tensor  # (B,) frames at which an utterance was cut off that had not ended by its gate
    reduction: int  # frames per decoder step

    def frames(self, row: int) -> int:
        """Spoken frames, up to where the gate fired."""
        return int(self.output.steps[row]) * self.reduction

    def mel(self, row: int) -> Array:
        """(frames, n_mels) natural log-mel."""
        mel: Array = self.output.mel[row, : self.frames(row)].float().cpu().numpy()
        return mel

    def shown(self, row: int) -> Shown:
        return Shown.of(self.output, row, int(self.batch.token_lengths[row]), self.frames(row))


def frame_limit(features: Features, token_lengths: Tensor) -> Tensor:
    """The longest plausible length of each utterance, in frames: (B,)."""
    frames = sum(int(features.frames[i]) for i in features.train)
    tokens = sum(len(features.tokens(i)) for i in features.train)
    return (token_lengths * (LIMIT * frames / max(1, tokens)) + LIMIT_MARGIN).long()


@torch.no_grad()
def speak(model: Tacotron2, features: Features, clips: Sequence[int], log_floor: float, device: torch.device) -> Speech:
    """Speak the texts of `clips`. Leaves the model in eval mode and the random state unchanged."""
    model.eval()
    batch = collate(features, clips, Padding(model.reduction), log_floor)
    limit = frame_limit(features, batch.token_lengths)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        output = model.infer(batch.tokens.to(device), batch.token_lengths, limit.to(device))
    return Speech(output, batch, limit, model.reduction)
