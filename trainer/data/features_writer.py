"""Writes the folder of features from shards; a killed process is continued by the next one.

    mels.npy      (total frames, n_mels) float16, the log-mels of all clips, concatenated
    tokens.npy    (total tokens,) uint8, ids of the symbols in index.json; decoded they are the texts
    ids.bin       the clips' names in their corpus, UTF-8, concatenated
    offsets.npy   (3, clips + 1) int64, where each clip starts in the three files above
    index.json    source, language, symbols, train (number of clips; others are for validation), skipped, fingerprint
    settings.json the settings that the features were made with (`trainer.data.features_settings`)

Shards are appended in batches, since each time the disk is waited for. A shard is removed once it is in `mels.npy` on
the disk, so that at most one batch is stored twice. `counts.bin` records what is appended: the frames of each clip so
far.
"""

import json
import os
import zlib
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.config import CorpusConfig
from trainer.data.corpus import Corpus
from trainer.data.shards import Shard
from trainer.errors import CorpusError
from trainer.text import SYMBOLS, encode

COUNT = np.dtype("<i8")


class FeaturesWriter:
    """An unfinished folder. Used by one process at a time."""

    def __init__(self, folder: Path, n_mels: int) -> None:
        self.folder = folder
        self.n_mels = n_mels
        folder.mkdir(exist_ok=True)
        self._mels = folder / "mels.npy"
        self._counts = folder / "counts.bin"
        for path in (self._mels, self._counts):
            path.touch()

    def resume(self, shards: Sequence[Shard]) -> int:
        """How many of `shards` are appended already; a half-appended shard is cut off.

        `shards` must be the same at each start.
        """
        counts = np.fromfile(self._counts, COUNT)
        ends = np.cumsum([0, *(len(shard.clips) for shard in shards)])
        whole = int(np.searchsorted(ends, len(counts), side="right")) - 1
        os.truncate(self._counts, ends[whole] * COUNT.itemsize)
        frames = int(counts[: ends[whole]].sum())
        size = len(_header(0, self.n_mels)) + frames * self.n_mels * 2
        assert not frames or self._mels.stat().st_size >= size, self.folder
        os.truncate(self._mels, size)  # at least the header's space
        return whole

    def append(self, batch: Sequence[Shard]) -> None:
        """Append the next shards, and remove their files. Raises FileNotFoundError where one does not exist."""
        parts = [shard.read() for shard in batch]
        _append(self._mels, [mels for _, mels in parts])  # before the counts, which record what is appended
        _append(self._counts, [frames.astype(COUNT) for frames, _ in parts])
        for shard in batch:
            shard.path.unlink()

    def finish(self, corpus: Corpus, symbols: Sequence[str], config: CorpusConfig) -> None:
        """Write the other files, after the last shard. Raises CorpusError where a split has no clips."""
        counts = np.fromfile(self._counts, COUNT)
        clips = (*corpus.train, *corpus.validation)
        assert len(counts) == len(clips), self.folder
        kept = [clip for clip, count in zip(clips, counts, strict=True) if count]
        train = int(np.count_nonzero(counts[: len(corpus.train)]))
        for name, left in (("train", train), ("validation", len(kept) - train)):
            if not left:
                raise CorpusError(
                    f"No clip is left in the {name} split: all are longer than `corpus.max_seconds` = "
                    f"{config.max_seconds:g}; raise it, or cut the recordings."
                )
        header = _header(int(counts.sum()), self.n_mels)
        with self._mels.open("r+b") as file:
            file.write(header)
        frames = counts[counts > 0].astype(np.int64)
        skipped = len(clips) - len(kept)
        ids, texts = [clip.id for clip in kept], [clip.text for clip in kept]
        write_index(self.folder, ids, texts, frames, train, skipped, corpus.language, symbols, config.source)


def write_index(
    folder: Path,
    ids: Sequence[str],
    texts: Sequence[str],
    frames: npt.NDArray[np.int64],
    train: int,
    skipped: int,
    language: str,
    symbols: Sequence[str] = SYMBOLS,
    source: str = "",
) -> None:
    """Write all files but `mels.npy` and `settings.json`. source: the corpus's name or path, for people."""
    assert len(symbols) <= 256, "tokens are kept as bytes"
    tokens = [bytes(encode(text, symbols)) for text in texts]
    names = [name.encode() for name in ids]
    np.save(folder / "tokens.npy", np.frombuffer(b"".join(tokens), np.uint8))
    (folder / "ids.bin").write_bytes(b"".join(names))
    lengths = (frames, [len(text) for text in tokens], [len(name) for name in names])
    np.save(folder / "offsets.npy", np.stack([offsets(of_clips) for of_clips in lengths]))
    index = {
        "source": source,
        "language": language,
        "symbols": list(symbols),
        "train": train,
        "skipped": skipped,
        "fingerprint": fingerprint(ids, texts, frames, range(train), range(train, len(ids))),
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def offsets(lengths: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """(clips,) lengths -> (clips + 1,): where each clip starts, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def fingerprint(
    ids: Sequence[str],
    texts: Sequence[str],
    frames: npt.NDArray[np.int64],
    train: Iterable[int],
    validation: Iterable[int],
) -> int:
    """A checksum of the clips, with their texts, lengths and split."""
    crc = 0
    for chunk in json.JSONEncoder().iterencode(
        [list(ids), list(texts), frames.tolist(), list(train), list(validation)]
    ):
        crc = zlib.crc32(chunk.encode(), crc)
    return crc


def _append(path: Path, arrays: Iterable[npt.NDArray[np.generic]]) -> None:
    with path.open("ab") as file:
        for array in arrays:
            file.write(array.data)
        file.flush()
        os.fsync(file.fileno())


def _header(frames: int, n_mels: int) -> bytes:
    """The header of a .npy file. Its length does not depend on `frames`: numpy reserves space for a larger number."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": (frames, n_mels)})
    return file.getvalue()
