"""The iterations of Griffin-Lim in torch, for a GPU. `trainer.audio.griffin_lim` has the method, and calls this.

Shapes: T frames, F bins, S samples.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.audio import Samples, Spectrum
from trainer.config import AudioConfig


class _Transform:
    """Between sound and spectrum, as in `trainer.audio`. window: (n_fft,); weights: (S,) the sum of its squares."""

    def __init__(self, audio: AudioConfig, window: Tensor, weights: Tensor) -> None:
        self._size = audio.n_fft
        self._hop = audio.hop_length
        self._window = window
        self._weights = weights

    def spectrum(self, samples: Tensor) -> Tensor:
        """(S,) -> (T, F)."""
        padding = (self._size // 2, self._size // 2)
        padded = F.pad(samples[None], padding, mode="reflect")[0]
        frames = padded.unfold(0, self._size, self._hop)
        found: Tensor = torch.fft.rfft(frames * self._window)
        return found

    def samples(self, spectrum: Tensor) -> Tensor:
        """(T, F) -> (S,)."""
        frames = torch.fft.irfft(spectrum, self._size) * self._window
        length = self._size + self._hop * (len(frames) - 1)
        added = F.fold(frames.t()[None], (1, length), (1, self._size), stride=(1, self._hop)).flatten()
        return added[self._size // 2 :][: len(self._weights)] / self._weights


@torch.inference_mode()
def iterated(
    spectrum: Spectrum,
    window: Samples,
    weights: Samples,
    audio: AudioConfig,
    iterations: int,
    momentum: float,
    device: torch.device,
) -> Samples:
    """spectrum: (T, F) with the magnitude that is wanted, and with phases to begin with -> (S,)."""
    transform = _Transform(audio, torch.from_numpy(window).to(device), torch.from_numpy(weights).to(device))
    found = torch.from_numpy(spectrum).to(device)
    magnitude = found.abs()
    before = torch.zeros_like(found)
    for _ in range(iterations):
        after = transform.spectrum(transform.samples(found))
        found = after - before * (momentum / (1 + momentum))
        before = after
        found *= magnitude / (found.abs() + 1e-16)
    samples: Samples = transform.samples(found).cpu().numpy()
    return samples
