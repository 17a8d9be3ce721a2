"""Log-mels of one part of a corpus: some hundred clips in one file, computed by themselves, whole or not there.

A part's name is a hash of all that it depends on, so that what was computed before a kill, or before a list or a
recording was mended, is found again, and nothing else is.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.config import AudioConfig
from trainer.data.corpus import Utterance
from trainer.data.processes import Step
from trainer.errors import CorpusError
from trainer.files import write_atomically

FORMAT = 2  # of parts and folders, and of the way that audio becomes their contents: count up when either changes
MEAN_CLIPS, MOST_CLIPS = 128, 512  # of a part; some fifteen minutes of speech, one second of one core

Mels = npt.NDArray[np.float16]  # log-mels lie between -11.5 and 3, where float16 is 0.004 off at most


@dataclass(frozen=True)
class Part:
    """Clips that follow each other, and where their log-mels are kept."""

    path: Path
    clips: tuple[Utterance, ...]
    audio: AudioConfig
    max_seconds: float

    def read(self) -> tuple[npt.NDArray[np.int64], Mels]:
        """-> (clips,) frames of each, 0 for one that is too long; (frames of all, n_mels).

        Raises FileNotFoundError where it was not computed.
        """
        with self.path.open("rb") as file:
            return np.load(file), np.load(file)


@dataclass(frozen=True)
class Fault:
    """text: which line, what is wrong with its recording, and how to mend it."""

    origin: str
    text: str

    @property
    def place(self) -> tuple[str, int]:
        """The list and the line's number."""
        name, _, line = self.origin.rpartition(":")
        return name, int(line)


def cut(clips: Sequence[Utterance], folder: Path, audio: AudioConfig, max_seconds: float) -> Iterator[Part]:
    """Cut `clips` into parts to be kept in `folder`.

    They end where a hash of the recording's name says so, and not after a number of clips: a line more or less
    changes one part, and leaves the others what they are.
    """
    start = 0
    for end, clip in enumerate(clips, start=1):
        mark = hashlib.blake2b(clip.name.encode(), digest_size=4).digest()
        if int.from_bytes(mark) % MEAN_CLIPS == 0 or end - start == MOST_CLIPS or end == len(clips):
            inside = tuple(clips[start:end])
            yield Part(folder / f"{_name(inside, audio, max_seconds)}.part", inside, audio, max_seconds)
            start = end


def compute(part: Part, step: Step) -> list[Fault]:
    """Compute and keep `part`; where recordings are at fault nothing is kept, and all of them are told."""
    frames: list[int] = []
    mels: list[Mels] = []
    faults: list[Fault] = []
    for clip in part.clips:
        try:
            mel = _mel(clip, part.audio, part.max_seconds)
            frames.append(0 if mel is None else len(mel))
            mels += [] if mel is None else [mel]
        except CorpusError as error:
            faults.append(Fault(clip.origin, str(error)))
        step()
    if not faults:
        with write_atomically(part.path) as beside, beside.open("wb") as file:
            np.save(file, np.array(frames, np.int64))
            np.save(file, np.concatenate([np.empty((0, part.audio.n_mels), np.float16), *mels]))
    return faults


def _mel(clip: Utterance, audio: AudioConfig, max_seconds: float) -> Mels | None:
    """(frames, n_mels); None for a clip that is too long. Raises CorpusError as `trainer.audio.read`."""
    # Imported here: opening ready features must work where no audio library is installed.
    from trainer.audio import log_mel, read

    try:
        samples = read(clip.wav, audio.sample_rate, audio.trim_db)
    except CorpusError as error:
        raise CorpusError(f"{clip.origin}: {error}") from error
    if len(samples) > max_seconds * audio.sample_rate:
        return None
    mel = log_mel(samples, audio)
    if len(mel) < len(clip.text):
        raise CorpusError(
            f"{clip.origin}: {clip.wav} is too short for its text: {len(mel)} frames of "
            f"{audio.hop_length / audio.sample_rate:.3f} s for {len(clip.text)} letters. "
            "Is it another sentence's recording? Mend the line, or leave it out."
        )
    return mel.astype(np.float16)


def _name(clips: Sequence[Utterance], audio: AudioConfig, max_seconds: float) -> str:
    told = [FORMAT, asdict(audio), max_seconds, [(clip.content.hex(), clip.text) for clip in clips]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
