"""Samples are converted to the log-mels that vocoders expect, and back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from trainer import audio
from trainer.audio import griffin_lim, log_mel, resampled, to_wav
from trainer.config import AudioConfig
from trainer.data.demo.espeak import speak

AUDIO = AudioConfig()
RATE = AUDIO.sample_rate


def _tone(seconds: float, hertz: float = 440.0, rate: int = RATE) -> npt.NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def test_log_mel_is_that_of_the_reference() -> None:
    """Against the formula written out: torch's STFT, and filters built from Slaney's definition."""
    samples = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    spectrum = torch.stft(
        torch.from_numpy(samples),
        AUDIO.n_fft,
        AUDIO.hop_length,
        AUDIO.win_length,
        torch.hann_window(AUDIO.win_length),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    expected = torch.from_numpy(_slaney_filters()).float() @ spectrum.abs()
    mel = log_mel(samples, AUDIO)
    assert mel.shape == (1 + RATE // AUDIO.hop_length, AUDIO.n_mels)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, expected.clamp(min=AUDIO.log_floor).log().T.numpy(), atol=1e-3)


def _slaney_filters() -> npt.NDArray[np.float64]:
    """Slaney's Auditory Toolbox: linear below 1 kHz, logarithmic above, triangles of unit area."""

    def hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top = 15 + 27 * np.log(AUDIO.fmax / 1000) / np.log(6.4)
    edges = hertz(np.linspace(0, top, AUDIO.n_mels + 2))
    bins = np.linspace(0, RATE / 2, 1 + AUDIO.n_fft // 2)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def test_silence_is_the_floor() -> None:
    assert (log_mel(np.zeros(RATE), AUDIO) == np.float32(np.log(AUDIO.log_floor))).all()
    louder = replace(AUDIO, log_floor=1e-2)
    assert log_mel(np.zeros(RATE), louder).max() == pytest.approx(np.log(1e-2))


@pytest.mark.parametrize("samples", [0, 1, 2, 255, 512, 513, 1023, 1024])
def test_a_very_short_clip_has_frames(samples: int) -> None:
    mel = log_mel(np.full(samples, 0.1, np.float32), AUDIO)
    assert mel.shape == (1 + AUDIO.n_fft // AUDIO.hop_length, AUDIO.n_mels)
    assert np.isfinite(mel).all()


@pytest.mark.slow  # librosa compiles for 15 s
@pytest.mark.parametrize("changes", [{}, {"n_fft": 1000, "hop_length": 250, "win_length": 800}])
def test_the_spectrum_is_exactly_that_of_librosa(changes: dict[str, int]) -> None:
    import librosa

    a = replace(AUDIO, **changes)  # type: ignore[arg-type]
    samples = np.random.default_rng(0).standard_normal(RATE * 3 + 7).astype(np.float32) * 0.1
    settings = {"n_fft": a.n_fft, "hop_length": a.hop_length, "win_length": a.win_length}
    theirs = np.abs(librosa.stft(samples, pad_mode="reflect", **settings)).T
    ours = audio._magnitude(samples, a)
    np.testing.assert_array_equal(ours, theirs[:, : ours.shape[1]])
    assert not audio._filters(a)[:, ours.shape[1] :].any()


@pytest.mark.slow  # librosa compiles for 15 s
@pytest.mark.parametrize(("samples", "rate", "to"), [(44101, 44100, RATE), (5000, 8000, RATE), (1, 48000, 16000)])
def test_resampling_is_exactly_that_of_librosa(samples: int, rate: int, to: int) -> None:
    import librosa

    sound = np.random.default_rng(0).standard_normal(samples).astype(np.float32) * 0.1
    np.testing.assert_array_equal(resampled(sound, rate, to), librosa.resample(sound, orig_sr=rate, target_sr=to))


@pytest.mark.slow  # librosa compiles for 15 s
@pytest.mark.parametrize("changes", [{}, {"fmin": 70.0, "fmax": 11025.0}, {"sample_rate": 16000, "n_mels": 40}])
def test_the_filters_are_those_of_librosa(changes: dict[str, float]) -> None:
    import librosa

    a = replace(AUDIO, **changes)
    theirs = librosa.filters.mel(sr=a.sample_rate, n_fft=a.n_fft, n_mels=a.n_mels, fmin=a.fmin, fmax=a.fmax)
    np.testing.assert_allclose(audio._filters(a), theirs, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("changes", [{}, {"n_fft": 1000, "win_length": 900, "hop_length": 230}])
def test_griffin_lim_gives_sound_with_the_same_mel(changes: dict[str, int]) -> None:
    a = replace(AUDIO, **changes)
    mel = log_mel(speak("Nobody laughed beside the road.", "en-us") / 32768, a)
    samples = griffin_lim(mel, a)
    again = log_mel(samples, a)
    assert abs(len(again) - len(mel)) <= 1
    rows = min(len(again), len(mel))
    audible = mel[:rows] > np.log(1e-2)
    assert np.abs(again[:rows] - mel[:rows])[audible].mean() < 0.25  # of 1 = a factor of e, about 2 dB
    np.testing.assert_array_equal(samples, griffin_lim(mel, a))


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_griffin_lim_accepts_few_frames(frames: int) -> None:
    samples = griffin_lim(np.full((frames, AUDIO.n_mels), -3.0), AUDIO)
    assert np.isfinite(samples).all()


def test_only_sound_that_would_clip_is_scaled_down(tmp_path: Path) -> None:
    (tmp_path / "loud.wav").write_bytes(to_wav(4 * _tone(0.2), RATE))
    loud, _ = soundfile.read(tmp_path / "loud.wav", dtype="float32")
    assert np.abs(loud).max() == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(loud, 2 * _tone(0.2), atol=2e-3)
    (tmp_path / "none.wav").write_bytes(to_wav(np.zeros(0), RATE))
    assert soundfile.info(tmp_path / "none.wav").frames == 0
