"""A corpus cut into shards: the log-mels of some dozens of clips, computed together and written to one file.

A shard's file exists only when it is complete. Its name is a hash of all that its contents depend on: what was computed
before a kill, or before a list or a recording was corrected, is found again.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.config import AudioConfig
from trainer.data.faults import Fault, FaultKind, RecordingError, TooLong
from trainer.data.processes import Step
from trainer.data.utterance import Utterance
from trainer.files import write_atomically

FORMAT = 3  # of shards and folders, and of how features are computed: increase it when any of these changes
MEAN_CLIPS, MOST_CLIPS = 32, 128  # of a shard; some four minutes of speech, a fifth of a second on one core
BATCH_CLIPS = 256  # of shards that are appended together
EDGE_SECONDS = 60.0  # of silence that a recording may have besides `corpus.max_seconds`; no more is read

Mels = npt.NDArray[np.float16]  # log-mels are between -11.5 and 3, where float16 errs by 0.004 at most


@dataclass(frozen=True)
class Shard:
    """Consecutive clips, and the file of their log-mels."""

    path: Path
    clips: tuple[Utterance, ...]
    audio: AudioConfig
    max_seconds: float

    def read(self) -> tuple[npt.NDArray[np.int64], Mels]:
        """-> (clips,) frames of each clip, 0 for one that is too long; (frames of all, n_mels).

        Raises FileNotFoundError where the shard is not computed.
        """
        with self.path.open("rb") as file:
            return np.load(file), np.load(file)


def cut(clips: Sequence[Utterance], folder: Path, audio: AudioConfig, max_seconds: float) -> Iterator[Shard]:
    """Cut `clips` into shards with files in `folder`.

    A hash of the recording's name decides where a shard ends, not a number of clips: one line more or less changes one
    shard, and no other.
    """
    start = 0
    for end, clip in enumerate(clips, start=1):
        mark = hashlib.blake2b(clip.name.encode(), digest_size=4).digest()
        if int.from_bytes(mark) % MEAN_CLIPS == 0 or end - start == MOST_CLIPS or end == len(clips):
            inside = tuple(clips[start:end])
            yield Shard(folder / f"{_name(inside, audio, max_seconds)}.part", inside, audio, max_seconds)
            start = end


def batches(shards: Iterable[Shard]) -> Iterator[list[Shard]]:
    """Consecutive shards of `BATCH_CLIPS` clips or a few more."""
    batch: list[Shard] = []
    for shard in shards:
        batch.append(shard)
        if sum(len(each.clips) for each in batch) >= BATCH_CLIPS:
            yield batch
            batch = []
    if batch:
        yield batch


def compute(shard: Shard, step: Step) -> list[Fault]:
    """Compute and write `shard`. Where recordings are faulty, nothing is written, and all faulty ones are returned."""
    frames: list[int] = []
    mels: list[Mels] = []
    faulty: list[Fault] = []
    for clip in shard.clips:
        try:
            mel = _mel(clip, shard.audio, shard.max_seconds)
            frames.append(0 if mel is None else len(mel))
            mels += [] if mel is None else [mel]
        except RecordingError as error:
            faulty.append(Fault(error.kind, clip.origin, str(error)))
        step()
    if not faulty:
        with write_atomically(shard.path) as beside, beside.open("wb") as file:
            np.save(file, np.array(frames, np.int64))
            np.save(file, np.concatenate([np.empty((0, shard.audio.n_mels), np.float16), *mels]))
    return faulty


def _mel(clip: Utterance, audio: AudioConfig, max_seconds: float) -> Mels | None:
    """(frames, n_mels); None for a clip that is too long. Raises RecordingError as `trainer.data.audio_files`."""
    # Imported here: opening computed features must work without audio libraries.
    from trainer.audio import log_mel
    from trainer.data.audio_files import decode, prepare

    try:
        samples = prepare(decode(clip.wav, max_seconds + EDGE_SECONDS), audio)
    except TooLong:
        return None
    if len(samples) > max_seconds * audio.sample_rate:
        return None
    mel = log_mel(samples, audio)
    if len(mel) < len(clip.text):
        raise RecordingError(
            FaultKind.TOO_SHORT,
            clip.wav,
            f"is too short for its text: {len(mel)} frames of {audio.hop_length / audio.sample_rate:.3f} s for "
            f"{len(clip.text)} letters. Is it the recording of another sentence? Correct the line, or remove it.",
        )
    return mel.astype(np.float16)


def _name(clips: Sequence[Utterance], audio: AudioConfig, max_seconds: float) -> str:
    contents = [FORMAT, asdict(audio), max_seconds, [(clip.content.hex(), clip.text) for clip in clips]]
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:32]
