"""Recordings in, log-mels out, and back again by Griffin-Lim.

The log-mel is that of NVIDIA/tacotron2 (`layers.TacotronSTFT`) and HiFi-GAN: the magnitude (power 1) of a
centred, reflect-padded STFT with a Hann window, Slaney mel filters, natural logarithm, clipped from below.
Does not cover pre-emphasis or normalisation of loudness: the form above has neither.
"""

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import soundfile

from trainer.config import AudioConfig
from trainer.errors import CorpusError
from trainer.protocol import write_atomically

Samples = npt.NDArray[np.float32]

SILENT_PEAK = 1e-4  # of full scale (-80 dB): about three steps of 16-bit audio, so that dither counts as silence
TRIM_MARGIN = 0.025  # seconds of silence kept at each edge: a plosive's closure is silent, but part of it
_TRIM_FRAME, _TRIM_HOP = 0.046, 0.0116  # seconds: 1024 and 256 samples at 22,050 Hz


def read(path: Path, sample_rate: int, trim_db: float) -> Samples:
    """Read a recording as (samples,) in [-1, 1], mono, at `sample_rate` Hz.

    Channels are averaged. Silence at the edges that lies `trim_db` below the clip's peak is cut, all
    but `TRIM_MARGIN`; 0 keeps it.
    Raises CorpusError where the file is missing, is no audio, is empty, silent, or holds non-finite samples.
    """
    if not path.is_file():
        raise CorpusError(f"{path}: the recording does not exist; put it there, or remove its line from the list.")
    try:
        channels, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise CorpusError(
            f"{path}: cannot be read as audio ({error}); convert it to WAV or FLAC, or remove its line from the list."
        ) from error
    if not len(channels):
        raise CorpusError(f"{path}: holds no samples; record it again, or remove its line from the list.")
    mono: Samples = channels.mean(axis=1)
    if not np.isfinite(mono).all():
        raise CorpusError(f"{path}: holds samples that are no numbers (NaN or infinite); export it again.")
    if np.abs(mono).max() < SILENT_PEAK:
        raise CorpusError(f"{path}: is silent from end to end; record it again, or remove its line from the list.")
    if rate != sample_rate:
        mono = librosa.resample(mono, orig_sr=rate, target_sr=sample_rate)
    return _trimmed(mono, sample_rate, trim_db) if trim_db else mono


def _trimmed(samples: Samples, sample_rate: int, trim_db: float) -> Samples:
    hop = max(1, round(_TRIM_HOP * sample_rate))
    frame = max(hop, round(_TRIM_FRAME * sample_rate))
    _, (start, end) = librosa.effects.trim(samples, top_db=trim_db, frame_length=frame, hop_length=hop)
    margin = round(TRIM_MARGIN * sample_rate)
    return samples[max(0, start - margin) : end + margin]


def log_mel(samples: npt.ArrayLike, audio: AudioConfig) -> Samples:
    """(samples,) in [-1, 1] -> (1 + samples // hop_length, n_mels), natural logarithm of magnitude.

    A clip shorter than one window is lengthened by silence to one: it has nothing to be reflected.
    """
    wave = np.asarray(samples, dtype=np.float32)
    assert wave.ndim == 1, wave.shape
    if wave.size < audio.n_fft:
        wave = np.pad(wave, (0, audio.n_fft - wave.size))
    magnitude = np.abs(librosa.stft(wave, pad_mode="reflect", **_stft(audio)))
    # Not one matrix product: 98 % of the filters is zero, and BLAS threads that meet a busy core wait for it, which
    # makes a product of 0.1 ms take 48 ms (two cores, both busy).
    mel = np.stack(
        [np.einsum("f,ft->t", weights, magnitude[first:][: len(weights)]) for first, weights in _bands(audio)]
    )
    return np.ascontiguousarray(np.log(np.maximum(mel, audio.log_floor)).T, dtype=np.float32)


def griffin_lim(mel: npt.ArrayLike, audio: AudioConfig, iterations: int = 60) -> Samples:
    """(frames, n_mels) log-mel -> (samples,): a listenable guess, the phase being lost (Griffin and Lim 1984).

    The linear spectrum is the filters' pseudo-inverse, clipped at 0: a least-squares solver takes
    minutes and cannot be heard to differ. Deterministic. Fewer frames than `log_mel` gives for its
    shortest clip are followed by silence.
    """
    magnitude = np.maximum(_inverse_filters(audio) @ np.exp(np.asarray(mel, dtype=np.float32)).T, 0.0)
    missing = 2 + audio.n_fft // audio.hop_length - magnitude.shape[1]
    magnitude = np.pad(magnitude, ((0, 0), (0, max(0, missing))))
    samples = librosa.griffinlim(magnitude, n_iter=iterations, pad_mode="reflect", random_state=0, **_stft(audio))
    return np.asarray(samples, dtype=np.float32)


def wav(samples: npt.ArrayLike, sample_rate: int) -> bytes:
    """(samples,) as a whole 16-bit WAV file; scaled down to full scale only where it would clip."""
    wave = np.asarray(samples, dtype=np.float32)
    peak = float(np.abs(wave).max(initial=0.0))
    content = io.BytesIO()
    soundfile.write(content, wave / max(1.0, peak), sample_rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


def write_wav(path: Path, samples: npt.ArrayLike, sample_rate: int) -> None:
    """Write what `wav` makes of (samples,). Raises OSError, which soundfile itself would not."""
    content = wav(samples, sample_rate)
    with write_atomically(path) as beside:
        beside.write_bytes(content)


def _stft(audio: AudioConfig) -> dict[str, Any]:
    return {
        "n_fft": audio.n_fft,
        "hop_length": audio.hop_length,
        "win_length": audio.win_length,
        "window": "hann",
        "center": True,
    }


@lru_cache(maxsize=4)
def _filters(audio: AudioConfig) -> Samples:
    """(n_mels, 1 + n_fft // 2), Slaney's scale and norm."""
    filters = librosa.filters.mel(
        sr=audio.sample_rate, n_fft=audio.n_fft, n_mels=audio.n_mels, fmin=audio.fmin, fmax=audio.fmax
    )
    assert filters.shape == (audio.n_mels, 1 + audio.n_fft // 2), filters.shape
    return np.asarray(filters, dtype=np.float32)


@lru_cache(maxsize=4)
def _bands(audio: AudioConfig) -> tuple[tuple[int, Samples], ...]:
    """Of each filter the first bin that it weighs, and its weights from there to the last."""
    spans = [(np.flatnonzero(row), row) for row in _filters(audio)]
    return tuple((int(at[0]), row[at[0] : at[-1] + 1]) if len(at) else (0, row[:1]) for at, row in spans)


@lru_cache(maxsize=4)
def _inverse_filters(audio: AudioConfig) -> Samples:
    return np.linalg.pinv(_filters(audio)).astype(np.float32)
