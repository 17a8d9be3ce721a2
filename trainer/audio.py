"""Samples to log-mels, and back to sound by Griffin-Lim.

The log-mel is that of NVIDIA/tacotron2 (`layers.TacotronSTFT`) and HiFi-GAN: the magnitude (power 1) of a
centred, reflect-padded STFT with a Hann window, Slaney mel filters, natural logarithm, clipped from below.
Does not cover pre-emphasis: that log-mel has none. `trainer.data.audio_files` reads recordings.

Spectra and resampled sound are bit for bit those of librosa, which takes more than a second to load.
"""

import io
import logging
import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trainer.config import AudioConfig

if TYPE_CHECKING:
    from torch import device as Device

log = logging.getLogger(__name__)

Samples = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]

MOMENTUM = 0.99  # of Griffin-Lim
BLOCK = 64  # frames transformed at once, which stay in the processor's cache


def log_mel(samples: npt.ArrayLike, audio: AudioConfig) -> Samples:
    """(samples,) in [-1, 1] -> (1 + samples // hop_length, n_mels), natural logarithm of magnitude.

    A clip shorter than one window is padded with silence to one window: it is too short for reflection.
    """
    wave = np.asarray(samples, dtype=np.float32)
    assert wave.ndim == 1, wave.shape
    if wave.size < audio.n_fft:
        wave = np.pad(wave, (0, audio.n_fft - wave.size))
    return _mel_of(_magnitude(wave, audio), audio)


def resynthesised(mel: npt.ArrayLike, audio: AudioConfig, device: "Device | None" = None) -> Samples:
    """(frames, n_mels) log-mel -> that of its sound after Griffin-Lim."""
    return _mel_of(np.abs(_spectrum(griffin_lim(mel, audio, device=device), audio)), audio)


def resampled(samples: Samples, sample_rate: int, to: int) -> Samples:
    """(samples,) at `sample_rate` Hz -> (ceil(samples * to / sample_rate),) at `to` Hz."""
    import soxr

    length = math.ceil(len(samples) * (to / sample_rate))
    found: Samples = soxr.resample(samples, sample_rate, to)[:length]
    return np.pad(found, (0, length - len(found)))


def _magnitude(samples: Samples, audio: AudioConfig) -> Samples:
    """(samples,) -> (frames, bins), without the bins above the last one that a filter reads.

    Transformed in double precision: with single, a quiet bin beside a loud one is wrong by percents.
    """
    frames = _frames(samples, audio)
    window = _window(audio)
    bins = max(first + len(weights) for first, weights in _bands(audio))
    magnitude = np.empty((len(frames), bins), np.float32)
    for start in range(0, len(frames), BLOCK):
        spectrum = np.fft.rfft(frames[start : start + BLOCK] * window)
        np.abs(spectrum[:, :bins].astype(np.complex64), out=magnitude[start : start + BLOCK])
    return magnitude


def _mel_of(magnitude: Samples, audio: AudioConfig) -> Samples:
    """(frames, bins) -> (frames, n_mels)."""
    bands = _bands(audio)
    mel = np.empty((len(bands), len(magnitude)), np.float32)
    # Not one matrix product: 98 % of the filters is zero, and BLAS threads wait for each other, so that a product of
    # 0.1 ms takes 48 ms when other processes use the cores (two cores, both busy).
    for (first, weights), sums in zip(bands, mel, strict=True):
        np.einsum("f,tf->t", weights, magnitude[:, first : first + len(weights)], out=sums)
    np.maximum(mel, audio.log_floor, out=mel)
    return np.ascontiguousarray(np.log(mel, out=mel).T)


def griffin_lim(
    mel: npt.ArrayLike, audio: AudioConfig, iterations: int = 60, device: "Device | None" = None
) -> Samples:
    """(frames, n_mels) log-mel -> (samples,); the phase, which a mel lacks, is estimated (Griffin and Lim 1984).

    The linear spectrum is the filters' pseudo-inverse, clipped at 0: a least-squares solver takes minutes and makes no
    audible difference. Deterministic. Fewer frames than `log_mel` gives for its shortest clip are padded with silence.

    device: a GPU iterates there; None and a CPU here, with scipy's Fourier transforms.
    """
    magnitude = np.maximum(np.exp(np.asarray(mel, dtype=np.float32)) @ inverse_filters(audio).T, 0.0)
    missing = 2 + audio.n_fft // audio.hop_length - len(magnitude)
    magnitude = np.pad(magnitude, ((0, max(0, missing)), (0, 0)))
    random = np.random.default_rng(0).random(magnitude.shape, dtype=np.float32)
    spectrum: Spectrum = magnitude * np.exp(np.complex64(2j * np.pi) * random)
    window = _window(audio).astype(np.float32)
    weights: Samples = np.maximum(_added(np.tile(window**2, (len(magnitude), 1)), audio), 1e-8)
    if device is not None and device.type != "cpu":
        from trainer.griffin_lim_on_gpu import iterated

        try:
            return iterated(spectrum, window, weights, audio, iterations, MOMENTUM, device)
        except RuntimeError as error:  # such as memory that cuFFT lacks beside a training
            log.warning("Griffin-Lim runs on the CPU, which takes longer: %s", error)
    return _iterated(spectrum, magnitude, weights, audio, iterations)


def _iterated(spectrum: Spectrum, magnitude: Samples, weights: Samples, audio: AudioConfig, iterations: int) -> Samples:
    """(frames, bins) with phases to begin with, overwritten -> (samples,)."""
    before = np.zeros_like(spectrum)
    scale = np.empty_like(magnitude)
    for _ in range(iterations):
        after = _spectrum(_samples(spectrum, weights, audio), audio)
        # Momentum converges faster (Perraudin, Balazs and Søndergaard 2013, section 3).
        before *= np.float32(MOMENTUM / (1 + MOMENTUM))
        np.subtract(after, before, out=spectrum)
        before = after
        # Keep the phase, restore the magnitude.
        np.abs(spectrum, out=scale)
        scale += np.float32(1e-16)
        np.divide(magnitude, scale, out=scale)
        spectrum *= scale
    return _samples(spectrum, weights, audio)


def _spectrum(samples: Samples, audio: AudioConfig) -> Spectrum:
    """(samples,) -> (frames, bins)."""
    import scipy.fft  # numpy's takes six times as long for numbers of single precision

    spectrum: Spectrum = scipy.fft.rfft(_frames(samples, audio) * _window(audio).astype(np.float32))
    return spectrum


def _frames(samples: Samples, audio: AudioConfig) -> Samples:
    """(samples,) -> (frames, n_fft), a view."""
    padded = np.pad(samples, audio.n_fft // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, audio.n_fft)[:: audio.hop_length]


def _samples(spectrum: Spectrum, weights: Samples, audio: AudioConfig) -> Samples:
    """(frames, bins) -> (samples,). weights: (samples,) the sum of the squared windows."""
    import scipy.fft

    frames: Samples = scipy.fft.irfft(spectrum, audio.n_fft)
    frames *= _window(audio).astype(np.float32)
    samples = _added(frames, audio)
    samples /= weights
    return samples


def _added(frames: Samples, audio: AudioConfig) -> Samples:
    """(frames, n_fft) -> (samples,): overlap-add, without the padding at both edges."""
    hop = audio.hop_length
    count = len(frames)
    hops = -(-audio.n_fft // hop)  # hops that a frame covers
    sums = np.zeros((count + hops - 1, hop), dtype=np.float32)
    for first in reversed(range(hops)):  # earlier frames first
        part = frames[:, first * hop : (first + 1) * hop]
        sums[first : first + count, : part.shape[1]] += part
    half = audio.n_fft // 2
    return sums.reshape(-1)[half : half + hop * (count - 1) + audio.n_fft % 2]


@lru_cache(maxsize=4)
def _window(audio: AudioConfig) -> npt.NDArray[np.float64]:
    """A periodic Hann window, centred in (n_fft,)."""
    window = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, audio.win_length + 1)[:-1])
    before = (audio.n_fft - audio.win_length) // 2
    return np.pad(window, (before, audio.n_fft - audio.win_length - before))


def to_wav(samples: npt.ArrayLike, sample_rate: int) -> bytes:
    """(samples,) as a 16-bit WAV file; scaled down only where it would clip."""
    import soundfile

    wave = np.asarray(samples, dtype=np.float32)
    peak = float(np.abs(wave).max(initial=0.0))
    content = io.BytesIO()  # in memory: soundfile does not report why a file could not be written
    soundfile.write(content, wave / max(1.0, peak), sample_rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


@lru_cache(maxsize=4)
def _filters(audio: AudioConfig) -> Samples:
    """(n_mels, 1 + n_fft // 2), with Slaney's scale and norm, as in librosa."""
    edges = _hertz(np.linspace(_mels(audio.fmin), _mels(audio.fmax), audio.n_mels + 2))
    bins = np.fft.rfftfreq(audio.n_fft, 1 / audio.sample_rate)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters: Samples = (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
    return filters


def _mels(hertz: float) -> float:
    """Linear below 1 kHz, 15 mels there; logarithmic above, 27 mels for a factor of 6.4."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * (math.log(6.4) / 27)))


@lru_cache(maxsize=4)
def _bands(audio: AudioConfig) -> tuple[tuple[int, Samples], ...]:
    """For each filter its first non-zero bin, and its weights from there to the last."""
    spans = [(np.flatnonzero(row), row) for row in _filters(audio)]
    return tuple((int(at[0]), row[at[0] : at[-1] + 1]) if len(at) else (0, row[:1]) for at, row in spans)


@lru_cache(maxsize=4)
def inverse_filters(audio: AudioConfig) -> Samples:
    return np.linalg.pinv(_filters(audio)).astype(np.float32)
