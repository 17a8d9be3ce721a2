"""Log-mels of a corpus: computed once, kept in a cache, memory-mapped afterwards.

The cache folder's name is a hash of all that its contents depend on, so that a changed recording, text or setting
gives a new folder; old ones may be deleted at any time. Its files are described in `trainer.data.features_writer`,
`trainer.data.preparation` makes it. Opening needs numpy alone, and 16 bytes of memory per clip: the rest is read on
access, into pages that the system may take back.
"""

import json
import os
import zlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from trainer.config import TrainerConfig
from trainer.data.corpus import content_hash
from trainer.data.demo.corpus import check_language
from trainer.data.faults import CorpusFaults
from trainer.data.features_settings import SETTINGS, given_features, write_settings
from trainer.data.leaving_out import ids_to_leave_out, refuse_own_list, refuse_unknown
from trainer.data.preparation import features_folder, prepare, with_those_of_recordings
from trainer.data.progress import OnProgress, no_progress
from trainer.errors import CorpusError
from trainer.exit_codes import is_out_of_memory
from trainer.protocol import RunDir
from trainer.text import SYMBOLS, decode

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Features:
    """Clips by number. All arrays are read-only.

    train, validation: the numbers of each split's clips, sorted by name; frames: (clips,) int64, mel frames of
    each clip; skipped: clips longer than `corpus.max_seconds`; language: such as "en"; symbols: the table of the
    tokens; fingerprint: a checksum of the clips, their texts, lengths and split; mels: (total frames, n_mels) float16,
    clip `i` in the rows `offsets[i]` to `offsets[i + 1]`, exclusive; offsets: (clips + 1,) int64.
    """

    train: Sequence[int]
    validation: Sequence[int]
    frames: npt.NDArray[np.int64]
    skipped: int
    language: str
    symbols: tuple[str, ...]
    fingerprint: int
    mels: npt.NDArray[np.float16] = field(repr=False)
    offsets: npt.NDArray[np.int64] = field(repr=False)
    _tokens: npt.NDArray[np.uint8] = field(repr=False)  # of all clips, concatenated
    _token_offsets: npt.NDArray[np.int64] = field(repr=False)
    _ids: npt.NDArray[np.uint8] = field(repr=False)  # UTF-8 of all clips, concatenated
    _id_offsets: npt.NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def n_mels(self) -> int:
        return int(self.mels.shape[1])

    def mel(self, i: int) -> npt.NDArray[np.float16]:
        """(frames, n_mels) log-mel of clip `i`, a view of the file. Sums of float16 overflow: convert it first."""
        return self.mels[self.offsets[i] : self.offsets[i + 1]]

    def tokens(self, i: int) -> npt.NDArray[np.int64]:
        """(tokens,) ids of `symbols`, without padding."""
        return _read_only(self._tokens[self._token_offsets[i] : self._token_offsets[i + 1]].astype(np.int64))

    @property
    def text_lengths(self) -> npt.NDArray[np.int64]:
        """(clips,) tokens of each clip."""
        return np.diff(self._token_offsets)

    def text(self, i: int) -> str:
        """The normalised text of clip `i`."""
        return decode(self.tokens(i).tolist(), self.symbols)

    def used_symbols(self) -> tuple[str, ...]:
        """The symbols that some text has, in the order of the table."""
        counts = np.bincount(self._tokens, minlength=len(self.symbols))
        return tuple(symbol for symbol, count in zip(self.symbols, counts, strict=True) if count)

    def id(self, i: int) -> str:
        """The clip's name in its corpus."""
        return self._ids[self._id_offsets[i] : self._id_offsets[i + 1]].tobytes().decode()

    def without(self, ids: AbstractSet[str]) -> "Features":
        """These features without training clips of these names. Raises CorpusError where a name is none of them.

        The fingerprint is another one, so that no run goes on with other clips.
        """
        if not ids:
            return self
        names = {i: self.id(i) for i in self.train}
        refuse_unknown(ids - set(names.values()))
        kept = [i for i, name in names.items() if name not in ids]
        if not kept:
            raise CorpusError("`corpus.leave_out`: leaves no clip to train on; shorten the list.")
        left_out = zlib.crc32("\n".join(sorted(ids)).encode())
        return replace(self, train=kept, fingerprint=self.fingerprint ^ left_out)


def open_features(config: TrainerConfig, progress: OnProgress = no_progress) -> Features:
    """Open the features of `config.corpus`, and compute them first where the cache lacks them.

    Where `paths.features` names a folder, open that one, without the corpus; raises ConfigError where it was made with
    other settings. Raises CorpusError for faulty lists and texts, for faulty recordings, where `corpus.max_seconds`
    leaves a split without clips, and for a faulty `corpus.leave_out`.
    """
    refuse_own_list(config.corpus.leave_out, RunDir(Path(config.paths.run)))
    leave_out = ids_to_leave_out(config.corpus.leave_out)
    if config.paths.features:
        return _open(given_features(config)).without(leave_out)
    try:
        folder = locate_features(config, progress)
    except CorpusFaults as faults:
        raise with_those_of_recordings(faults, config, progress) from faults
    folder = folder or prepare(config, progress)
    with suppress(OSError):  # the cache cannot be written
        os.utime(folder)  # the time of its last use, by which `trainer.data.cache` tells its age
    return _open(folder).without(leave_out)


def locate_features(config: TrainerConfig, progress: OnProgress = no_progress) -> Path | None:
    """The folder in the cache with the features of `config.corpus`; None where they are not computed yet.

    Raises CorpusError for a faulty list.
    """
    for source in (config.corpus.source, config.corpus.validation_source):
        check_language(source, config.text)
    folder = features_folder(config, content_hash(config.corpus, Path(config.paths.cache), progress, config.text))
    if not folder.is_dir():
        return None
    if not (folder / SETTINGS).exists():  # made by an earlier version with the same settings, as the name proves
        with suppress(OSError):  # needed only when the folder is copied to another machine
            write_settings(folder, config)
    return folder


def _open(folder: Path) -> Features:
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        # As plain arrays: slicing a memmap takes eight times as long.
        mels, tokens, starts = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ("mels", "tokens", "offsets")
        )
        ids = np.asarray(np.memmap(folder / "ids.bin", np.uint8, mode="r"))
        if [len(mels), len(tokens), len(ids)] != starts[:, -1].tolist():
            raise ValueError("the files' sizes do not agree")
    except (OSError, ValueError) as error:
        if is_out_of_memory(error):  # nothing is wrong with the folder
            raise
        raise CorpusError(f"{folder}: the cached features are damaged ({error}); delete the folder.") from error
    frames = np.diff(starts[0])
    return Features(
        train=range(index["train"]),
        validation=range(index["train"], len(frames)),
        frames=_read_only(frames),
        skipped=index["skipped"],
        language=index["language"],
        symbols=tuple(index.get("symbols", SYMBOLS)),
        fingerprint=index["fingerprint"],
        mels=mels,
        offsets=starts[0],
        _tokens=tokens,
        _token_offsets=starts[1],
        _ids=ids,
        _id_offsets=starts[2],
    )


def _read_only(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    array.setflags(write=False)
    return array
