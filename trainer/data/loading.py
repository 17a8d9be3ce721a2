"""Loaders of batches onto the training device.

On a CPU a batch is copied from the memory-mapped features. On CUDA the whole corpus is on the GPU where it fits, and a
batch is gathered there; otherwise a thread copies the next batch into page-locked memory while the GPU computes. No
loader makes the host wait for the device.

Shapes: B batch, T mel frames, M mel bins.
"""

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trainer.data.batches import Batch, Padding, collate, collate_tokens, round_up
from trainer.data.features import Features

RESIDENT_SHARE = 0.25  # the largest share of the device's free memory that the corpus may take
UPLOAD_FRAMES = 2**18
# Sizes are rounded up to these on CUDA, where a graph is captured for each; tokens only where a text is longer than
# those of most batches with as many frames.
CUDA_FRAMES, CUDA_TOKENS = 32, 16


class Loader(Protocol):
    padding: Padding

    def load(self, indices: Sequence[int], upcoming: Sequence[int] = ()) -> Batch:
        """The clips `indices` as one batch on the device. upcoming: the indices that are probably loaded next."""


class Collating:
    """Copies from the features at each call."""

    def __init__(self, features: Features, padding: Padding, log_floor: float) -> None:
        self.features = features
        self.padding = padding
        self.log_floor = log_floor

    def load(self, indices: Sequence[int], upcoming: Sequence[int] = ()) -> Batch:
        return collate(self.features, indices, self.padding, self.log_floor)


class Streaming:
    """Copies the upcoming batch in advance, in a thread, into page-locked memory."""

    def __init__(self, features: Features, padding: Padding, log_floor: float, device: torch.device) -> None:
        self._collating = Collating(features, padding, log_floor)
        self.padding = padding
        self._device = device
        self._thread = ThreadPoolExecutor(1, "load")
        self._ahead: tuple[tuple[int, ...], Future[Batch]] | None = None

    def load(self, indices: Sequence[int], upcoming: Sequence[int] = ()) -> Batch:
        expected, future = self._ahead or ((), None)
        batch = future.result() if future and expected == tuple(indices) else self._pinned(indices)
        self._ahead = (tuple(upcoming), self._thread.submit(self._pinned, upcoming)) if upcoming else None
        return batch.to(self._device)

    def _pinned(self, indices: Sequence[int]) -> Batch:
        batch = self._collating.load(indices)
        return batch.pin_memory() if self._device.type == "cuda" else batch


class Resident:
    """Gathers from a copy of all mels on the device."""

    def __init__(self, features: Features, padding: Padding, log_floor: float, device: torch.device) -> None:
        self.features = features
        self.padding = padding
        self._device = device
        self._silence = math.log(log_floor)
        self._mels = torch.empty(features.mels.shape, dtype=torch.float16, device=device)  # (frames of the corpus, M)
        for start in range(0, len(self._mels), UPLOAD_FRAMES):  # in parts: the host's memory may be smaller
            part = features.mels[start : start + UPLOAD_FRAMES]
            self._mels[start : start + len(part)] = torch.from_numpy(part.copy())

    def load(self, indices: Sequence[int], upcoming: Sequence[int] = ()) -> Batch:
        indices = tuple(int(i) for i in indices)
        counts = [int(self.features.frames[i]) for i in indices]
        starts = [int(self.features.offsets[i]) for i in indices]
        longest = self.padding.padded(max(counts))
        tokens, token_lengths = collate_tokens(self.features, indices, self.padding, longest)
        tokens, lengths, first = (self._moved(x) for x in (tokens, torch.tensor(counts), torch.tensor(starts)))
        return Batch(tokens, token_lengths, self._gather(first, lengths, longest), lengths, indices, sum(counts))

    def _gather(self, first: Tensor, lengths: Tensor, longest: int) -> Tensor:
        """(B,), (B,) -> (B, T, M)."""
        frame = torch.arange(longest, device=self._device)
        rows = (first[:, None] + frame).clamp_(max=len(self._mels) - 1)
        mels = self._mels[rows].float()
        return torch.where((frame < lengths[:, None])[:, :, None], mels, self._silence)

    def _moved(self, x: Tensor) -> Tensor:
        return x.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else x


def make_loader(features: Features, reduction: int, log_floor: float, device: torch.device, tail: int = 0) -> Loader:
    """The loader for the device, and for the corpus's size. tail: decoder steps of silence after each clip."""
    if device.type != "cuda":
        return Collating(features, Padding(reduction, tail=tail * reduction), log_floor)
    padding = padding_for_graphs(features, reduction, tail)
    free, _ = torch.cuda.mem_get_info(device)
    kind = Resident if features.mels.nbytes <= RESIDENT_SHARE * free else Streaming
    return kind(features, padding, log_floor, device)


def padding_for_graphs(features: Features, reduction: int, tail: int = 0) -> Padding:
    """Few sizes of batches. tail: as for `make_loader`."""
    padding = Padding(round_up(CUDA_FRAMES, reduction), CUDA_TOKENS, tail * reduction)
    train = np.asarray(features.train)
    return padding.with_usual(features.frames[train], features.text_lengths[train])
