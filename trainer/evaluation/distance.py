"""Mel-cepstral distortion (MCD) between what a voice says and a recording, in dB.

Both are aligned in time by dynamic time warping whose path is bounded: each frame of the recording is compared with
exactly one frame of the speech, and the mean is over the recording's frames. Speech that goes on without end can
therefore not gain: what exceeds twice the recording's length is not compared, and a constant hum has the same distance
at any length. What is missing below half of the recording's length counts as silence.

Shapes: S spoken frames, R recorded frames, M mel bins, C cepstra.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float32]

CEPSTRA = 16  # without the zeroth, which is loudness
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
    ends = np.clip(len(spoken), (lengths + 1) // 2, 2 * lengths - 1)  # spoken frames that a path can traverse
    costs = _costs(_padded([spoken[: ends.max()]], ends.max())[0], _padded(recorded, lengths.max()))
    moved, stayed = np.full((2, len(recorded), ends.max()), np.inf, np.float32)
    moved[:, 0] = costs[:, 0, 0]
    totals = np.where(lengths == 1, moved[np.arange(len(recorded)), ends - 1], np.float32(np.inf))
    for row in range(1, lengths.max()):
        before = np.minimum(moved, stayed)
        stayed = moved + costs[:, row]
        moved = np.full_like(before, np.inf)
        moved[:, 1:] = before[:, :-1]
        np.minimum(moved[:, 2:], before[:, :-2], out=moved[:, 2:])
        moved += costs[:, row]
        last = lengths == row + 1
        if last.any():
            totals[last] = np.minimum(moved, stayed)[last, ends[last] - 1]
    means: Array = (totals / lengths).astype(np.float32)
    return means


def _padded(sequences: Sequence[Array], length: int) -> Array:
    """(count, length, C): shorter ones are followed by silence, whose cepstra are 0."""
    padded = np.zeros((len(sequences), length, sequences[0].shape[1]), np.float32)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = sequence
    return padded


def _costs(spoken: Array, recorded: Array) -> Array:
    """(S, C), (count, R, C) -> (count, R, S) distances of frames in dB."""
    distances: Array = torch.cdist(torch.from_numpy(recorded), torch.from_numpy(spoken)[None]).numpy()
    return np.float32(_TO_DECIBEL) * distances
