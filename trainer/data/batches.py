"""Which clips go together, and how they become tensors.

Clips of like length go together, so that little is padding; the order is a pure function of seed and epoch,
so that a run resumes at (epoch, position). Padding is silence: log(log_floor), not 0, which is loud.

Shapes: B batch, N tokens, T mel frames, M mel bins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.data.features import Features

WINDOW = 16  # batches that are sorted together: less padding for more, more chance in the order for fewer


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded clips; the order within the batch means nothing."""

    tokens: Tensor  # (B, N) int64, padded with 0
    token_lengths: Tensor  # (B,) int64
    mels: Tensor  # (B, T, M) float32, padded with log(log_floor); T is a multiple of the reduction factor
    mel_lengths: Tensor  # (B,) int64, frames without padding
    indices: Tensor  # (B,) int64, the clips' numbers in their Features

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Return the same batch on `device`."""
        return Batch(*(getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)))

    def pin_memory(self) -> "Batch":
        """Return a copy in page-locked memory, from which `to(..., non_blocking=True)` does not wait."""
        return Batch(*(getattr(self, f.name).pin_memory() for f in fields(self)))


def collate(features: Features, indices: Sequence[int], reduction: int, log_floor: float) -> Batch:
    """Pad the clips `indices` to the longest among them, T up to a multiple of `reduction`."""
    token_lengths = [len(features.tokens(i)) for i in indices]
    mel_lengths = [int(features.frames[i]) for i in indices]
    steps = math.ceil(max(mel_lengths) / reduction)
    tokens = np.zeros((len(indices), max(token_lengths)), dtype=np.int64)
    mels = np.full((len(indices), steps * reduction, features.n_mels), math.log(log_floor), dtype=np.float32)
    for row, i in enumerate(indices):
        tokens[row, : token_lengths[row]] = features.tokens(i)
        mels[row, : mel_lengths[row]] = features.mel(i)
    return Batch(
        tokens=torch.from_numpy(tokens),
        token_lengths=torch.tensor(token_lengths),
        mels=torch.from_numpy(mels),
        mel_lengths=torch.tensor(mel_lengths),
        indices=torch.tensor([int(i) for i in indices]),
    )


def epoch_batches(
    lengths: Sequence[int] | npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[tuple[int, ...]]:
    """Cut 0..len(lengths)-1 into batches, each number once; the same for the same arguments.

    Shuffled, sorted by length within windows of up to `WINDOW` batches, cut, and the batches shuffled. One
    batch is smaller where `batch_size` does not divide the number of clips.
    """
    # At least two windows: in one alone every epoch would sort into the same batches.
    window_size = batch_size * max(1, min(WINDOW, len(lengths) // batch_size // 2))
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    sizes = np.asarray(lengths)
    batches = []
    for start in range(0, len(order), window_size):
        window = order[start : start + window_size]
        window = window[np.argsort(sizes[window], kind="stable")]
        batches += [tuple(window[i : i + batch_size].tolist()) for i in range(0, len(window), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def validation_batches(features: Features, batch_size: int) -> list[tuple[int, ...]]:
    """The validation clips' numbers from the shortest clip to the longest, in batches; always the same."""
    order = sorted(features.validation, key=lambda i: (int(features.frames[i]), i))
    return [tuple(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]
