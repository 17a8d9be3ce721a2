"""Log-mels of a corpus: computed once, kept in a cache, memory-mapped afterwards.

A cache folder holds `mels.npy`, the (total frames, n_mels) float32 log-mels of all clips one after the
other, and `index.json`, which says whose they are. Its name is a hash of all that they depend on, so
that a changed recording, text or setting gives a new folder; old ones may be deleted at any time.
Opening needs numpy alone; building needs `trainer.audio`.
One thread builds, at about a thousand times real time; two, on two cores, were at most a third faster.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from trainer.config import AudioConfig, TrainerConfig
from trainer.data.corpus import Corpus, Listing, Utterance, list_corpus, utterances
from trainer.data.folders import Progress, no_progress, written_once
from trainer.errors import CorpusError
from trainer.text import SYMBOLS, encode

FORMAT = 1  # of the folder, and of the way that texts and audio become its contents: count up when either changes


@dataclass(frozen=True, eq=False)
class Features:
    """Clips by number. Everything that it gives out is read-only.

    train, validation: the numbers of each part's clips, sorted by name; frames: (clips,) int64, mel frames of
    each clip; skipped: clips that were longer than `corpus.max_seconds`; language: "en" or "ru".
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    frames: npt.NDArray[np.int64]
    skipped: int
    language: str
    _mels: npt.NDArray[np.float32] = field(repr=False)
    _offsets: npt.NDArray[np.int64] = field(repr=False)
    _tokens: tuple[npt.NDArray[np.int64], ...] = field(repr=False)
    _texts: tuple[str, ...] = field(repr=False)
    _ids: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def fingerprint(self) -> int:
        """The same for the same clips with the same texts, lengths and split."""
        told = (self._ids, self._texts, self.frames.tolist(), self.train, self.validation)
        return zlib.crc32(json.dumps(told).encode())

    @property
    def n_mels(self) -> int:
        return int(self._mels.shape[1])

    def mel(self, i: int) -> npt.NDArray[np.float32]:
        """(frames, n_mels) log-mel of clip `i`, a view into the file."""
        return self._mels[self._offsets[i] : self._offsets[i + 1]]

    def tokens(self, i: int) -> npt.NDArray[np.int64]:
        """(tokens,) ids of `trainer.text.SYMBOLS`, from 1 on."""
        return self._tokens[i]

    def text(self, i: int) -> str:
        """What clip `i` says, normalised."""
        return self._texts[i]

    def id(self, i: int) -> str:
        """The clip's name in its corpus."""
        return self._ids[i]


def open_features(config: TrainerConfig, progress: Progress = no_progress) -> Features:
    """Open the features of `config.corpus`, and compute them first where the cache lacks them.

    Raises CorpusError for what is wrong with a list, a text or a recording, and where `corpus.max_seconds`
    leaves a part without clips.
    """
    cache = Path(config.paths.cache)
    listing = list_corpus(config.corpus, cache, progress)
    folder = cache / "features" / _key(config, listing)
    if not folder.is_dir():
        corpus = utterances(config.corpus, listing)
        with written_once(folder) as beside:
            _build(beside, corpus, config, progress)
    return _open(folder)


def random_features(config: TrainerConfig, utterances: int, seconds: float, seed: int) -> Features:
    """Noise in place of speech, for timing on machines without audio libraries.

    `utterances` clips of `seconds` on average, evenly spread between half and one and a half of it, 15
    symbols per second; one in twenty (at least one) is for validation.
    """
    assert utterances >= 2, utterances
    rng = np.random.default_rng(seed)
    mean = seconds * config.audio.sample_rate / config.audio.hop_length
    frames = np.maximum(1, rng.uniform(0.5 * mean, 1.5 * mean, utterances)).astype(np.int64)
    per_token = config.audio.sample_rate / config.audio.hop_length / 15
    tokens = [rng.integers(1, len(SYMBOLS), max(1, round(count / per_token)), dtype=np.int64) for count in frames]
    mels = rng.standard_normal((int(frames.sum()), config.audio.n_mels), dtype=np.float32) * 2 - 5
    mels.setflags(write=False)
    held_out = max(1, utterances // 20)
    return Features(
        train=tuple(range(held_out, utterances)),
        validation=tuple(range(held_out)),
        frames=_read_only(frames),
        skipped=0,
        language="en",
        _mels=mels,
        _offsets=_offsets(frames),
        _tokens=tuple(_read_only(ids) for ids in tokens),
        _texts=tuple("".join(SYMBOLS[i] for i in ids) for ids in tokens),
        _ids=tuple(f"random-{i:05d}" for i in range(utterances)),
    )


def _key(config: TrainerConfig, listing: Listing) -> str:
    corpus = config.corpus
    parts = [
        {part: [(e.id, e.name, e.text, *e.stamp) for e in getattr(listing, part)] for part in ("train", "validation")},
        {"format": FORMAT, "symbols": SYMBOLS, "language": corpus.language, "max_seconds": corpus.max_seconds},
        asdict(config.audio),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _build(folder: Path, corpus: Corpus, config: TrainerConfig, progress: Progress) -> None:
    # Imported here: opening ready features must work where no audio library is installed.
    from trainer.audio import log_mel, read

    limit = config.corpus.max_seconds * config.audio.sample_rate

    def mel_of(utterance: Utterance) -> npt.NDArray[np.float32] | None:
        try:
            samples = read(utterance.wav, config.audio.sample_rate, config.audio.trim_db)
        except CorpusError as error:
            raise CorpusError(f"{utterance.origin}: {error}") from error
        if len(samples) > limit:
            return None
        mel = log_mel(samples, config.audio)
        if len(mel) < len(utterance.tokens):
            raise CorpusError(
                f"{utterance.origin}: {utterance.wav} is too short for its text: {len(mel)} frames of "
                f"{config.audio.hop_length / config.audio.sample_rate:.3f} s for {len(utterance.tokens)} letters. "
                "Is it another sentence's recording? Mend the line, or leave it out."
            )
        return mel

    clips = (*corpus.train, *corpus.validation)
    frames: list[int] = []  # per clip; 0 for one that is too long
    with (folder / "mels.npy").open("w+b") as file:
        _write_header(file, 0, config.audio)
        for mel in map(mel_of, clips):
            frames.append(0 if mel is None else len(mel))
            if mel is not None:
                file.write(mel.tobytes())
            progress(len(frames), len(clips), "log-mel features")
        _write_header(file, sum(frames), config.audio)
    index = _index(corpus, frames, config.corpus.max_seconds)
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")


def _index(corpus: Corpus, frames: Sequence[int], max_seconds: float) -> dict[str, object]:
    parts = ["train"] * len(corpus.train) + ["validation"] * len(corpus.validation)
    clips = zip((*corpus.train, *corpus.validation), frames, parts, strict=True)
    kept = [clip for clip in clips if clip[1]]
    for part in ("train", "validation"):
        if not any(of == part for _, _, of in kept):
            raise CorpusError(
                f"No clip is left in the {part} part: all are longer than `corpus.max_seconds` = {max_seconds:g}; "
                "raise it, or cut the recordings."
            )
    return {
        "language": corpus.language,
        "skipped": len(frames) - len(kept),
        "ids": [u.id for u, _, _ in kept],
        "texts": [u.text for u, _, _ in kept],
        "frames": [n for _, n, _ in kept],
        "train": [i for i, (_, _, part) in enumerate(kept) if part == "train"],
        "validation": [i for i, (_, _, part) in enumerate(kept) if part == "validation"],
    }


def _open(folder: Path) -> Features:
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        mels = np.load(folder / "mels.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise CorpusError(f"{folder}: the cached features are damaged ({error}); delete the folder.") from error
    frames = _read_only(index["frames"])
    assert frames.sum() == len(mels), (folder, frames.sum(), mels.shape)
    return Features(
        train=tuple(index["train"]),
        validation=tuple(index["validation"]),
        frames=frames,
        skipped=index["skipped"],
        language=index["language"],
        _mels=np.asarray(mels),  # a plain view: slicing the memmap class itself takes eight times as long
        _offsets=_offsets(frames),
        _tokens=tuple(_read_only(encode(text)) for text in index["texts"]),
        _texts=tuple(index["texts"]),
        _ids=tuple(index["ids"]),
    )


def _read_only(numbers: npt.ArrayLike) -> npt.NDArray[np.int64]:
    array = np.array(numbers, dtype=np.int64)
    array.setflags(write=False)
    return array


def _offsets(frames: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(frames)])


def _write_header(file: IO[bytes], frames: int, audio: AudioConfig) -> None:
    """Write .npy's header at the start of `file`, for as many frames as are known by now.

    numpy leaves room for the first dimension to grow, so that the final header has the first one's length.
    """
    end = file.tell()
    file.seek(0)
    header = {"descr": "<f4", "fortran_order": False, "shape": (frames, audio.n_mels)}
    np.lib.format.write_array_header_1_0(file, header)
    assert end == 0 or end == file.tell() + frames * audio.n_mels * 4, (end, frames)
