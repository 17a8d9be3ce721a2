"""Which clips form a batch, and how they become tensors.

Clips of similar length go together, which keeps padding low; the order is a pure function of seed and epoch, so that a
run resumes at (epoch, position). Padding is silence: log(log_floor), not 0, which is loud.

Shapes: B batch, N tokens, T mel frames, M mel bins.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.data.features import Features

# By a share of its length the sort key of a clip varies, so that batches differ from epoch to epoch: by JITTER, or less
# where less mixes as many clips as MIXED, and as MIXED_BATCHES batches have. What a batch spans is padding.
JITTER = 0.05
MIXED = 150
MIXED_BATCHES = 1.5


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
    usual: Mapping[int, int] = field(default_factory=dict)  # tokens of most batches of so many frames

    def padded(self, longest: int) -> int:
        """Frames of a batch with a clip of `longest` frames."""
        return round_up(longest + self.tail, self.frames)

    def padded_text(self, longest: int, frames: int) -> int:
        """Tokens of a batch of `frames` frames, padded, with a text of `longest` tokens."""
        usual = self.usual.get(frames, 0)
        return usual if longest <= usual else round_up(longest, self.tokens)

    def with_usual(self, frames: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64]) -> "Padding":
        """For a corpus with these lengths: batches of as many frames have as many tokens, so that sizes are few.

        As many as the longest text of the clips that come into such batches. A long text among short clips makes no
        other batches longer.
        """
        sizes = np.array([self.padded(int(longest)) for longest in frames])
        reach = (1 - JITTER) / (1 + JITTER)  # of the clips that are sorted beside the longest one
        usual = {
            int(size): int(tokens[(sizes <= size) & (frames + self.tail > reach * (size - self.frames))].max())
            for size in np.unique(sizes)
        }
        return replace(self, usual=usual)


def collate(features: Features, indices: Sequence[int], padding: Padding, log_floor: float) -> Batch:
    """Pad the clips `indices` to the longest among them, rounded up by `padding`."""
    indices = tuple(int(i) for i in indices)
    mel_lengths = [int(features.frames[i]) for i in indices]
    longest = padding.padded(max(mel_lengths))
    tokens, token_lengths = collate_tokens(features, indices, padding, longest)
    mels = np.full((len(indices), longest, features.n_mels), math.log(log_floor), dtype=np.float32)
    for row, i in enumerate(indices):
        mels[row, : mel_lengths[row]] = features.mel(i)
    lengths = torch.tensor(mel_lengths)
    return Batch(tokens, token_lengths, torch.from_numpy(mels), lengths, indices, sum(mel_lengths))


def round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def collate_tokens(features: Features, indices: Sequence[int], padding: Padding, frames: int) -> tuple[Tensor, Tensor]:
    """frames: of the batch, padded -> tokens (B, N), lengths (B,)."""
    texts = [features.tokens(i) for i in indices]
    tokens = np.zeros((len(texts), padding.padded_text(max(map(len, texts)), frames)), dtype=np.int64)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = text
    return torch.from_numpy(tokens), torch.tensor([len(text) for text in texts])


def epoch_batches(
    lengths: Sequence[int] | npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[tuple[int, ...]]:
    """Cut 0..len(lengths)-1 into batches, each number once; the same for the same arguments.

    Clips are sorted by length, give or take `JITTER` at most, and cut into batches, which are shuffled: padding stays
    under a tenth of the frames as long as a batch has less than a tenth of the clips. One batch is smaller where
    `batch_size` does not divide the number of clips.
    """
    rng = np.random.default_rng((seed, epoch))
    jitter = min(JITTER, max(MIXED, MIXED_BATCHES * batch_size) / len(lengths))
    jittered = np.asarray(lengths) * rng.uniform(1 - jitter, 1 + jitter, len(lengths))
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
