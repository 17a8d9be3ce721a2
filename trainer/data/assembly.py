"""The folder of features, put together from parts by whoever comes, as often as they are killed.

    mels.npy      (total frames, n_mels) float16, the log-mels of all clips one after the other
    tokens.npy    (total tokens,) uint8, ids of `trainer.text.SYMBOLS`; decoded they are the texts
    ids.bin       the clips' names in their corpus, UTF-8, one after the other
    offsets.npy   (3, clips + 1) int64, where each clip begins in the three
    index.json    language, train (the first so many clips; the others are for validation), skipped, fingerprint
    settings.json what all this was made with (`trainer.data.settings`)

A part is removed once it is in `mels.npy` on the disk, so that no more than one part is there twice. What has been
appended is known by `counts.bin`, the frames of each clip so far.
"""

import json
import os
import zlib
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.data.corpus import Corpus
from trainer.data.parts import Part
from trainer.errors import CorpusError
from trainer.text import SYMBOLS, encode

assert len(SYMBOLS) <= 256, "tokens are kept as bytes"
COUNT = np.dtype("<i8")


class Assembly:
    """A folder in the making. One process at a time may have it."""

    def __init__(self, folder: Path, n_mels: int) -> None:
        self.folder, self.n_mels = folder, n_mels
        folder.mkdir(exist_ok=True)
        self._mels, self._counts = folder / "mels.npy", folder / "counts.bin"
        for path in (self._mels, self._counts):
            path.touch()

    def resume(self, parts: Sequence[Part]) -> int:
        """How many of `parts` are in it, which must be the same at each start; what a kill left half is cut off."""
        counts = np.fromfile(self._counts, COUNT)
        ends = np.cumsum([0, *(len(part.clips) for part in parts)])
        whole = int(np.searchsorted(ends, len(counts), side="right")) - 1
        os.truncate(self._counts, ends[whole] * COUNT.itemsize)
        frames = int(counts[: ends[whole]].sum())
        size = len(_header(0, self.n_mels)) + frames * self.n_mels * 2
        assert not frames or self._mels.stat().st_size >= size, self.folder
        os.truncate(self._mels, size)  # room for the header, if nothing more
        return whole

    def append(self, part: Part) -> None:
        """Take over the next part. Raises FileNotFoundError where it is not there."""
        frames, mels = part.read()
        _append(self._mels, mels)  # first: counts say what is there
        _append(self._counts, frames.astype(COUNT))
        part.path.unlink()

    def finish(self, corpus: Corpus, max_seconds: float) -> None:
        """All parts are in: write what else belongs to the folder. Raises CorpusError where a split has no clips."""
        counts = np.fromfile(self._counts, COUNT)
        clips = (*corpus.train, *corpus.validation)
        assert len(counts) == len(clips), self.folder
        kept = [clip for clip, count in zip(clips, counts, strict=True) if count]
        train = int(np.count_nonzero(counts[: len(corpus.train)]))
        for name, left in (("train", train), ("validation", len(kept) - train)):
            if not left:
                raise CorpusError(
                    f"No clip is left in the {name} part: all are longer than `corpus.max_seconds` = {max_seconds:g}; "
                    "raise it, or cut the recordings."
                )
        header = _header(int(counts.sum()), self.n_mels)
        with self._mels.open("r+b") as file:
            file.write(header)
        frames = counts[counts > 0].astype(np.int64)
        skipped = len(clips) - len(kept)
        ids, texts = [clip.id for clip in kept], [clip.text for clip in kept]
        write_index(self.folder, ids, texts, frames, train, skipped, corpus.language)


def write_index(
    folder: Path,
    ids: Sequence[str],
    texts: Sequence[str],
    frames: npt.NDArray[np.int64],
    train: int,
    skipped: int,
    language: str,
) -> None:
    """Write all but `mels.npy`."""
    tokens, names = [bytes(encode(text)) for text in texts], [name.encode() for name in ids]
    np.save(folder / "tokens.npy", np.frombuffer(b"".join(tokens), np.uint8))
    (folder / "ids.bin").write_bytes(b"".join(names))
    lengths = (frames, [len(text) for text in tokens], [len(name) for name in names])
    np.save(folder / "offsets.npy", np.stack([offsets(each) for each in lengths]))
    index = {
        "language": language,
        "train": train,
        "skipped": skipped,
        "fingerprint": fingerprint(ids, texts, frames, range(train), range(train, len(ids))),
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def offsets(lengths: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """(clips,) -> (clips + 1,), where each begins, and where the last ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def fingerprint(
    ids: Sequence[str],
    texts: Sequence[str],
    frames: npt.NDArray[np.int64],
    train: Iterable[int],
    validation: Iterable[int],
) -> int:
    """The same for the same clips with the same texts, lengths and split."""
    crc = 0
    for told in json.JSONEncoder().iterencode([list(ids), list(texts), frames.tolist(), list(train), list(validation)]):
        crc = zlib.crc32(told.encode(), crc)
    return crc


def _append(path: Path, array: npt.NDArray[np.generic]) -> None:
    with path.open("ab") as file:
        file.write(array.data)
        file.flush()
        os.fsync(file.fileno())


def _header(frames: int, n_mels: int) -> bytes:
    """.npy's header. numpy leaves room for the first dimension to grow: it is as long for any number of frames."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": (frames, n_mels)})
    return file.getvalue()
