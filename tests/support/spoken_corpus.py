"""Corpora of tones that look like speech to a check: syllables with pauses between them, as long as the text."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 22050
SYLLABLE = 0.05  # seconds for each letter
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]

Samples = npt.NDArray[np.float32]


def text_of(number: int) -> str:
    """A text of three to seven words, another one for each number."""
    rng = np.random.default_rng(number)
    return " ".join(rng.choice(WORDS, 3 + number % 5))


def speech(text: str, seed: int = 0, noise: float = 1e-4) -> Samples:
    """(samples,) tones of `SYLLABLE` seconds per letter, silence for spaces, softly begun and ended."""
    rng = np.random.default_rng((seed, len(text)))
    pieces = [np.zeros(round(0.05 * RATE))]
    for letter in text:
        t = np.arange(round(SYLLABLE * RATE)) / RATE
        tone = np.sin(2 * np.pi * (110 + 5 * ord(letter)) * t) * np.hanning(len(t))
        pieces.append(0.4 * tone * (letter != " "))
    whole = np.concatenate([*pieces, pieces[0]])
    return (whole + rng.normal(0, noise, len(whole))).astype(np.float32)


def write_corpus(folder: Path, clips: int, changed: Mapping[int, Samples] | None = None) -> Path:
    """LJSpeech layout. changed: samples, (samples,) or (samples, channels), by the number of the clip."""
    (folder / "wavs").mkdir(parents=True)
    lines = []
    for number in range(clips):
        text = text_of(number)
        samples = (changed or {}).get(number, speech(text, number))
        soundfile.write(folder / "wavs" / f"c{number:03d}.wav", samples, RATE, subtype="PCM_16")
        lines.append(f"c{number:03d}|{text}\n")
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    return folder
