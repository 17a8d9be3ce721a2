"""A synthetic corpus that a voice can learn: each letter is one sound, of three formants.

A letter's formants and its length are drawn once; neighbouring sounds mix, and a sentence's pitch falls towards its
end. Log-mels are made directly, so that only numpy is needed. Attention aligns on it as on speech: the preset tiny
after 200,000 frames, and full with r = 2, too (`SETTINGS`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.config import TrainerConfig
from trainer.data.features_settings import write_settings
from trainer.data.features_writer import write_index

SETTINGS: Mapping[str, Any] = {
    "guided_attention": {"weight": 1.0}
}  # ten times the default: attention aligns in half the time
SILENCE = -8.0  # natural logarithm of the magnitude
LOUDEST = -2.0
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PAUSE = 4  # frames of a space
END = 8  # frames of silence behind a sentence
GLIDE = 3  # frames over which neighbours mix
RIPPLE = 0.3  # of log-magnitudes: the pitch's harmonics
NOISE = 0.1  # of log-magnitudes: random noise
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]

Mel = npt.NDArray[np.float64]


class Sounds:
    """The sound of each letter, always the same."""

    def __init__(self, n_mels: int) -> None:
        rng = np.random.default_rng(20260101)
        bins = np.arange(n_mels)
        peaks = rng.uniform([0.05, 0.25, 0.5], [0.25, 0.6, 0.95], (len(LETTERS), 3)) * n_mels
        widths = rng.uniform(0.04, 0.1, (len(LETTERS), 3)) * n_mels
        heights = rng.uniform(0.6, 1.0, (len(LETTERS), 3))
        bumps = heights[:, :, None] * np.exp(-(((bins - peaks[:, :, None]) / widths[:, :, None]) ** 2))
        self._loudness = bumps.max(1)  # (letters, n_mels) from 0 to 1
        self._frames = rng.integers(4, 8, len(LETTERS))
        self._silence = np.zeros(n_mels)
        self._bins = bins / n_mels

    def say(self, text: str, seed: int) -> Mel:
        """Lower-case letters, spaces and a full stop -> (frames, n_mels) log-mel."""
        loudness = np.concatenate([self._of(letter) for letter in text])
        loudness = np.apply_along_axis(np.convolve, 0, loudness, np.full(GLIDE, 1 / GLIDE), "same")
        pitch = np.linspace(9.0, 6.0, len(loudness))[:, None]  # waves over all bins
        noise = np.random.default_rng((7, seed)).normal(0, NOISE, loudness.shape)
        ripple = RIPPLE * loudness * np.cos(2 * np.pi * pitch * self._bins)
        return np.maximum(SILENCE + (LOUDEST - SILENCE) * loudness + ripple + noise, SILENCE)

    def _of(self, letter: str) -> Mel:
        """(frames, n_mels)."""
        if letter not in LETTERS:
            return np.repeat(self._silence[None], END if letter == "." else PAUSE, 0)
        at = LETTERS.index(letter)
        return np.repeat(self._loudness[at][None], self._frames[at], 0)


def sentences(count: int) -> list[str]:
    """Two to four words of one to three syllables, and a full stop."""
    rng = np.random.default_rng(11)

    def word() -> str:
        return "".join(rng.choice(SYLLABLES, rng.integers(1, 4)))

    return [" ".join(word() for _ in range(rng.integers(2, 5))) + "." for _ in range(count)]


def write_tones(config: TrainerConfig, clips: int) -> None:
    """Write features into the folder that `config.paths.features` names."""
    folder = Path(config.paths.features)
    folder.mkdir(parents=True)
    sounds = Sounds(config.audio.n_mels)
    texts = sentences(clips)
    mels = [sounds.say(text, i) for i, text in enumerate(texts)]
    frames = np.array([len(mel) for mel in mels], np.int64)
    train = clips - max(1, round(config.corpus.validation_share * clips))
    write_index(folder, [f"tone-{i:06d}" for i in range(clips)], texts, frames, train, 0, "en")
    np.save(folder / "mels.npy", np.concatenate(mels).astype(np.float16))
    write_settings(folder, config)
