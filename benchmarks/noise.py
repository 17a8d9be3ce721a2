"""Corpora of noise for benchmarks: recordings, or features as preparation would write them.

    write_noise        recordings and their list, to be prepared
    write_listed, write_features  a list of empty recordings, and the features of each
    write_ljspeech     features of as many clips as LJSpeech has, with lengths like theirs, without a list

Features need only numpy, so that a machine without audio libraries can train on them.
"""

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.config import TrainerConfig
from trainer.data.corpus import content_hash
from trainer.data.features_settings import write_settings
from trainer.data.features_writer import write_index
from trainer.data.preparation import features_folder
from trainer.text import SYMBOLS

RATE = 22050
HOP = 256
MELS = 80
SECONDS = 6.57  # of speech in a clip, the mean of LJSpeech
LETTERS = 15  # per second
LINKS = 1000  # names of one file, as hard links
LJSPEECH = 13_100  # clips, 24 hours

Seconds = npt.NDArray[np.float64]  # of each clip


def clip_seconds(clips: int) -> Seconds:
    """Between half and one and a half of the mean."""
    return np.random.default_rng(clips).uniform(0.5 * SECONDS, 1.5 * SECONDS, clips)


def seconds_around(clips: int, seconds: float, spread: float) -> Seconds:
    """Evenly between 1 - `spread` and 1 + `spread` times `seconds`."""
    return seconds * np.linspace(1 - spread, 1 + spread, clips)


def ljspeech_seconds(clips: int) -> Seconds:
    """LJSpeech's shortest, mean and longest clip; between them a beta distribution with a deviation of 2.2 s."""
    shortest, longest = 1.1, 10.1
    return shortest + (longest - shortest) * np.random.default_rng(clips).beta(1.86, 1.2, clips)


def texts(seconds: Seconds, spread: float = 0.0) -> Iterator[str]:
    """spread: of the letters per second, as a share."""
    rates = LETTERS * np.random.default_rng(4).normal(1, spread, len(seconds)) if spread else [LETTERS] * len(seconds)
    letters = [symbol for symbol in SYMBOLS if "a" <= symbol <= "z"]
    pool = "".join(np.random.default_rng(1).choice(letters, 100_000))
    for i, (each, rate) in enumerate(zip(seconds, rates, strict=True)):
        start = i * 37 % 90_000
        yield pool[start : start + max(1, round(float(each) * rate))]


def write_noise(folder: Path, clips: int) -> None:
    """Recordings of noise, each a piece of the same minute."""
    (folder / "wavs").mkdir(parents=True)
    seconds = clip_seconds(clips)
    noise = np.random.default_rng(2).normal(0, 3000, 60 * RATE).astype(np.int16)
    for i, each in enumerate(seconds):
        start = i * 7919 % (40 * RATE)
        with wave.open(str(folder / "wavs" / f"noise-{i:06d}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(noise[start : start + round(float(each) * RATE)].tobytes())
    write_list(folder, seconds)


def write_listed(folder: Path, clips: int, seconds: float = SECONDS, spread: float = 0.0) -> None:
    """A list of empty files for recordings of `seconds`, plus or minus `spread` times that. They are never opened.

    By default all have one length, so that no batch is longer by chance and needs more memory.
    """
    (folder / "wavs").mkdir(parents=True)
    for i in range(clips):
        path, first = (folder / "wavs" / f"noise-{at:06d}.wav" for at in (i, i - i % LINKS))
        if path == first:
            path.touch()
        else:
            path.hardlink_to(first)
    write_list(folder, seconds_around(clips, seconds, spread))


def write_list(folder: Path, seconds: Seconds) -> None:
    lines = (f"noise-{i:06d}|{text}\n" for i, text in enumerate(texts(seconds)))
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")


def write_features(config: TrainerConfig, clips: int, seconds: float = SECONDS, spread: float = 0.0) -> None:
    """The features that preparation would compute from noise; give the same numbers as to `write_listed`."""
    lengths = seconds_around(clips, seconds, spread)
    folder = features_folder(config, content_hash(config.corpus, Path(config.paths.cache)))
    _write(folder, config, lengths, list(texts(lengths)))


def write_ljspeech(config: TrainerConfig, clips: int = LJSPEECH) -> None:
    """Into the folder that `config.paths.features` names. 1.2 GB."""
    lengths = ljspeech_seconds(clips)
    folder = Path(config.paths.features)
    _write(folder, config, lengths, list(texts(lengths, spread=0.1)))
    write_settings(folder, config)


def _write(folder: Path, config: TrainerConfig, seconds: Seconds, spoken: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    frames = np.round(seconds * RATE / HOP).astype(np.int64)
    ids = [f"noise-{i:06d}" for i in range(len(seconds))]
    train = len(ids) - max(1, round(config.corpus.validation_share * len(ids)))
    write_index(folder, ids, spoken, frames, train, 0, "en")
    noise = np.random.default_rng(3).normal(-5, 2, (100_000, MELS)).astype(np.float16)
    with (folder / "mels.npy").open("wb") as file:
        shape = (int(frames.sum()), MELS)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for start in range(0, shape[0], len(noise)):
            file.write(noise[: shape[0] - start].tobytes())
