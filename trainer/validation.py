"""Teacher-forced validation: the same utterances, in the same order, with dropout drawn from one seed.

The loss does not depend on schedules or on what is searched, so that trials can be compared; the comparison is only
meaningful among trials that align.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from trainer.alignment import AlignmentScore, alignment_score
from trainer.data.batches import Batch, Padding, collate, validation_batches
from trainer.data.features import Features
from trainer.losses import gate_figures, mel_loss
from trainer.model import Tacotron2, Tacotron2Output
from trainer.objectives import OBJECTIVES

Array = npt.NDArray[np.float32]

SETTLING_BATCHES = 4
# Frames, padding included, that may pass the decoder together where a batch has fewer, by device type; default 0. On a
# GPU a step takes as long for many clips as for few. A frame of the full model takes 36 KB.
TOGETHER = {"cuda": 2**15}
DROPOUT_SEED = 20180208  # of the prenet's dropout, which stays on


@dataclass(frozen=True, eq=False)
class Shown:
    """One utterance for pictures, without padding."""

    attention: Array  # (T, N)
    mel: Array  # (L, M)

    @staticmethod
    def of(output: Tacotron2Output, row: int, tokens: int, frames: int) -> "Shown":
        attention, mel = output.attention[row, : int(output.steps[row]), :tokens], output.mel[row, :frames]
        return Shown(attention.float().cpu().numpy(), mel.float().cpu().numpy())


@dataclass(frozen=True)
class Validation:
    """`figures`: loss (masked mel loss per frame), alignment and its parts, gate. `shown`: by the clips' numbers."""

    figures: dict[str, float]
    shown: dict[int, Shown]


def better(figures: Mapping[str, float], other: Mapping[str, float] | None, floor: float, by: str) -> bool:
    """Whether a report ranks before the best one so far, if any."""
    return other is None or rank(figures, floor, by) < rank(other, floor, by)


def rank(figures: Mapping[str, float], floor: float, by: str) -> tuple[bool, bool, float]:
    """Sort key of a report: smaller is better. A model that does not align never ranks before one that does.

    by: `validation.best_by`. Where it was not measured, the loss decides, after those where it was.
    """
    objective = OBJECTIVES[by]
    value = figures.get(objective.figure, math.nan)
    loss = figures["loss"]
    by_loss = math.isnan(value)
    return not figures["alignment"] >= floor, by_loss, value if not by_loss else math.inf if math.isnan(loss) else loss


@torch.no_grad()
def settle_batch_norm(
    model: Tacotron2, features: Features, batch_size: int, log_floor: float, device: torch.device
) -> None:
    """Measure the batch norms' statistics again, with the present weights, on a few fixed training batches.

    Their running means lag some ten updates behind. In short runs at high learning rates that alone triples the
    validation loss and makes its curve jump. (Wu and Johnson 2021, arXiv:2105.07576, section 3: PreciseBN)
    """
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average of all batches
        norm.train()
    by_length = sorted(features.train, key=lambda i: int(features.frames[i]))
    count = min(SETTLING_BATCHES * batch_size, len(by_length))
    chosen = [by_length[round(at)] for at in np.linspace(0, len(by_length) - 1, count)]
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(DROPOUT_SEED)
        parts = (chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size))
        batches = [collate(features, part, Padding(model.reduction), log_floor).to(device) for part in parts]
        for group in _grouped(batches, TOGETHER.get(device.type, 0)):
            model.forward_together([(b.tokens, b.token_lengths, b.mels, b.mel_lengths) for b in group])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _grouped(batches: Sequence[Batch], most_frames: int) -> list[list[Batch]]:
    """Batches from the shortest to the longest -> neighbours that have at most `most_frames` together, or are alone."""
    groups: list[list[Batch]] = []
    for batch in batches:
        clips = len(batch.mels) + sum(len(other.mels) for other in groups[-1]) if groups else 0
        if groups and clips * batch.mels.shape[1] <= most_frames:
            groups[-1].append(batch)
        else:
            groups.append([batch])
    return groups


@torch.no_grad()
def validate(
    model: Tacotron2,
    features: Features,
    batch_size: int,
    log_floor: float,
    device: torch.device,
    show: Collection[int] = (),
) -> Validation:
    """Leaves the model in eval mode and the random state unchanged. show: clips to return in `Validation.shown`."""
    model.eval()
    cuda = [device] if device.type == "cuda" else []
    losses, frames, scores, f1, stop_error = [], [], [], [], []
    shown: dict[int, Shown] = {}
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(DROPOUT_SEED)
        for indices in validation_batches(features, batch_size, TOGETHER.get(device.type, 0)):
            batch = collate(features, indices, Padding(model.reduction), log_floor).to(device)
            mels, lengths = batch.mels, batch.mel_lengths
            output = model(batch.tokens, batch.token_lengths, mels, lengths)
            for row, clip in enumerate(indices):
                if clip in show:
                    shown[clip] = Shown.of(output, row, int(batch.token_lengths[row]), int(features.frames[clip]))
            gate = gate_figures(output.gate_logits, output.steps)
            losses.append(mel_loss(output, mels, lengths) * lengths)
            frames.append(lengths)
            scores.append(alignment_score(output.attention, batch.token_lengths, output.steps))
            f1.append(gate.f1)
            stop_error.append(gate.stop_error * model.reduction)
    figures = {
        "loss": (torch.cat(losses).sum() / torch.cat(frames).sum()).item(),
        **AlignmentScore.concatenate(scores).summary(),
        "gate_f1": torch.cat(f1).mean().item(),
        "stop_error_frames": torch.cat(stop_error).mean().item(),
    }
    return Validation(figures, shown)
