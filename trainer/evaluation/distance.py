"""Mel-cepstral distortion (MCD) between what a voice says and a recording, in dB.

Both are aligned in time by dynamic time warping whose path is bounded: each frame of the recording is compared with
exactly one frame of the speech, and the mean is over the recording's frames. Speech that goes on without end can
therefore not gain: what exceeds twice the recording's length is not compared, and a constant hum has the same distance
at any length. What is missing below half of the recording's length counts as silence.

Shapes: S spoken frames, R recorded frames, M mel bins, C cepstra.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float32]

CEPSTRA = 16  # without the zeroth, which is loudness
BLOCK = 64  # recorded frames whose costs are computed at a time
_TO_DECIBEL = 10 / math.log(10) * math.sqrt(2)


def mel_cepstra(mel: npt.ArrayLike) -> Array:
    """(frames, M) natural log-mel -> (frames, C), such that the log-mel is about c[0] + sum_i c[i] cos(i w).

    With these the distance of Kubichek 1993 (10 / ln 10 * sqrt(2 * sum of squares)) is the root mean square difference
    of two smoothed spectra in dB.
    """
    log_mel = np.asarray(mel, np.float32)
    bins = log_mel.shape[1]
    angles = np.pi / bins * (np.arange(bins) + 0.5)
    cosines = np.cos(angles[:, None] * np.arange(1, min(CEPSTRA, bins - 1) + 1))
    # A product of numpy's would start threads of its own, which wait for each other where cores are busy.
    cepstra: Array = (torch.from_numpy(log_mel) @ torch.from_numpy(2 / bins * cosines).float()).numpy()
    return cepstra


def mcd(spoken: Array, recorded: Sequence[Array]) -> Array:
    """Distance in dB of one utterance to each of several recordings. spoken: (S, C), recorded: (R, C) each -> (count,).

    The path moves on by 0, 1 or 2 spoken frames with each recorded one, never by 0 twice in a row, from the first
    frames to the last (Itakura 1975, with the recording as the axis of time).
    """
    lengths = np.array([len(one) for one in recorded])
    ends = np.array([_traversed(len(spoken), length) for length in lengths])
    costs = _costs(_padded([spoken[: ends.max()]], ends.max())[0], _padded(recorded, lengths.max()))
    totals = np.empty(len(recorded), np.float32)
    for row, sums in enumerate(_sums(costs)):
        last = lengths == row + 1
        if last.any():
            totals[last] = np.minimum(*sums)[last, ends[last] - 1]
    means: Array = (totals / lengths).astype(np.float32)
    return means


def path(spoken: Array, recorded: Array) -> npt.NDArray[np.int64]:
    """The spoken frame with which each recorded one is compared, (R,); those beyond S - 1 are missing speech."""
    end = _traversed(len(spoken), len(recorded))
    costs = _costs(_padded([spoken[:end]], end)[0], recorded[None])
    moved, stayed = (np.stack(kind)[:, 0] for kind in zip(*_sums(costs), strict=True))
    frames = np.zeros(len(recorded), np.int64)
    frame = end - 1
    stays = bool(stayed[-1, -1] < moved[-1, -1])
    for row in range(len(recorded) - 1, 0, -1):
        frames[row] = frame
        if not stays:
            before = np.minimum(moved[row - 1], stayed[row - 1])
            frame -= 2 if frame >= 2 and before[frame - 2] < before[frame - 1] else 1
        stays = not stays and bool(stayed[row - 1, frame] < moved[row - 1, frame])
    return frames


def _traversed(spoken: int, recorded: int) -> int:
    """How many spoken frames a path to the end of the recording can pass."""
    return int(np.clip(spoken, (recorded + 1) // 2, 2 * recorded - 1))


def _sums(costs: Iterator[Array]) -> Iterator[tuple[Array, Array]]:
    """The least sums up to each recorded frame of `costs`, (count, S) for each; twice (count, S).

    The first of paths that have moved to their last spoken frame, the second of those that have stayed on it.
    """
    first = next(costs)
    moved = np.full_like(first, np.inf)
    stayed = moved.copy()
    moved[:, 0] = first[:, 0]
    yield moved, stayed
    for cost in costs:
        before = np.minimum(moved, stayed)
        stayed = moved + cost
        moved = np.full_like(before, np.inf)
        moved[:, 1:] = before[:, :-1]
        np.minimum(moved[:, 2:], before[:, :-2], out=moved[:, 2:])
        moved += cost
        yield moved, stayed


def _padded(sequences: Sequence[Array], length: int) -> Array:
    """(count, length, C): shorter ones are followed by silence, whose cepstra are 0."""
    padded = np.zeros((len(sequences), length, sequences[0].shape[1]), np.float32)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = sequence
    return padded


def _costs(spoken: Array, recorded: Array) -> Iterator[Array]:
    """(S, C), (count, R, C) -> for each of R recorded frames (count, S) distances of frames in dB.

    A block at a time: those of all frames of long clips would take hundreds of megabytes.
    """
    for start in range(0, recorded.shape[1], BLOCK):
        block = torch.from_numpy(recorded[:, start : start + BLOCK])
        distances: Array = torch.cdist(block, torch.from_numpy(spoken)[None]).numpy()
        distances *= np.float32(_TO_DECIBEL)
        yield from distances.transpose(1, 0, 2)
