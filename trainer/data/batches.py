"""Which clips form a batch, and how they become tensors.

Clips of similar length go together, which keeps padding low; the order is a pure function of seed and epoch, so that a
run resumes at (epoch, position). Padding is silence: log(log_floor), not 0, which is loud.

Shapes: B batch, N tokens, T mel frames, M mel bins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.data.features import Features

JITTER = 0.05  # share of a clip's length by which its sort key varies, so that batches differ from epoch to epoch


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded clips; their order within the batch does not matter."""

    tokens: Tensor  # (B, N) int64, padded with 0
    token_lengths: Tensor  # (B,) int64, always on the CPU: packing an LSTM's input needs them there
    mels: Tensor  # (B, T, M) float32, padded with log(log_floor)
    mel_lengths: Tensor  # (B,) int64, frames without padding
    indices: tuple[int, ...]  # the clips' numbers in their Features
    frames: int  # sum of mel_lengths

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`; from page-locked memory without waiting."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ("tokens", "mels", "mel_lengths")}
        return replace(self, **moved)

    def pin_memory(self) -> "Batch":
        """A copy in page-locked memory."""
        return replace(self, **{name: getattr(self, name).pin_memory() for name in ("tokens", "mels", "mel_lengths")})


@dataclass(frozen=True)
class Padding:
    """The multiples that the sizes of a batch are rounded up to. Where each size must be prepared, few are better."""

    frames: int = 1  # a multiple of the reduction factor
    tokens: int = 1
    tail: int = 0  # frames of silence after the longest clip, at least

    def padded(self, longest: int) -> int:
        """Frames of a batch with a clip of `longest` frames."""
        return round_up(longest + self.tail, self.frames)


def collate(features: Features, indices: Sequence[int], padding: Padding, log_floor: float) -> Batch:
    """Pad the clips `indices` to the longest among them, rounded up by `padding`."""
    indices = tuple(int(i) for i in indices)
    mel_lengths = [int(features.frames[i]) for i in indices]
    tokens, token_lengths = collate_tokens(features, indices, padding.tokens)
    longest = padding.padded(max(mel_lengths))
    mels = np.full((len(indices), longest, features.n_mels), math.log(log_floor), dtype=np.float32)
    for row, i in enumerate(indices):
        mels[row, : mel_lengths[row]] = features.mel(i)
    lengths = torch.tensor(mel_lengths)
    return Batch(tokens, token_lengths, torch.from_numpy(mels), lengths, indices, sum(mel_lengths))


def round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def collate_tokens(features: Features, indices: Sequence[int], multiple: int) -> tuple[Tensor, Tensor]:
    """-> tokens (B, N), lengths (B,)."""
    texts = [features.tokens(i) for i in indices]
    tokens = np.zeros((len(texts), round_up(max(map(len, texts)), multiple)), dtype=np.int64)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = text
    return torch.from_numpy(tokens), torch.tensor([len(text) for text in texts])


def epoch_batches(
    lengths: Sequence[int] | npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[tuple[int, ...]]:
    """Cut 0..len(lengths)-1 into batches, each number once; the same for the same arguments.

    Clips are sorted by length, give or take `JITTER`, and cut into batches, which are shuffled: padding stays under a
    tenth of the frames as long as a batch has less than a tenth of the clips. One batch is smaller where `batch_size`
    does not divide the number of clips.
    """
    rng = np.random.default_rng((seed, epoch))
    jittered = np.asarray(lengths) * rng.uniform(1 - JITTER, 1 + JITTER, len(lengths))
    order = np.argsort(jittered, kind="stable")
    batches = [tuple(order[i : i + batch_size].tolist()) for i in range(0, len(order), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def validation_batches(features: Features, batch_size: int, most_frames: int = 0) -> list[list[int]]:
    """The numbers of the validation clips, from the shortest to the longest, in batches; always the same.

    A batch has more than `batch_size` clips where it has at most `most_frames`, padding included.
    """
    batches: list[list[int]] = []
    for clip in sorted(features.validation, key=lambda i: (int(features.frames[i]), i)):
        size = len(batches[-1]) + 1 if batches else 0
        if batches and (size <= batch_size or size * int(features.frames[clip]) <= most_frames):
            batches[-1].append(clip)
        else:
            batches.append([clip])
    return batches
