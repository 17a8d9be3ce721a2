"""Small corpora of recordings in LJSpeech layout, written fast."""

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 22050


def write_corpus(folder: Path, clips: int, prefix: str = "clip", text: str = "hi number", seconds: float = 0.3) -> Path:
    """`clips` recordings of noise, each with its own text."""
    rng = np.random.default_rng(clips)
    (folder / "wavs").mkdir(parents=True)
    lines = []
    for i in range(clips):
        samples = rng.integers(-8000, 8000, int(RATE * seconds) + i, dtype=np.int16)
        write_wav(folder / "wavs" / f"{prefix} {i:04d}.wav", samples)
        lines.append(f"{prefix} {i:04d}|{text} {'abcdefghij'[i % 10]}\n")
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    return folder


def write_wav(path: Path, samples: npt.NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
