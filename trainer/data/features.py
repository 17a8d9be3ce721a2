"""Log-mels of a corpus: computed once, kept in a cache, memory-mapped afterwards.

The cache folder's name is a hash of all that its contents depend on, so that a changed recording, text or setting
gives a new folder; old ones may be deleted at any time. What lies in it: `trainer.data.assembly`; how it is made:
`trainer.data.preparation`. Opening needs numpy alone, and 16 bytes of memory per clip: the rest is read when it is
asked for, into pages that the system may take back.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from trainer.config import TrainerConfig
from trainer.data.corpus import content_hash
from trainer.data.folders import Progress, no_progress
from trainer.data.preparation import features_folder, prepare
from trainer.data.settings import SETTINGS, given_features, write_settings
from trainer.errors import CorpusError
from trainer.faults import is_out_of_memory
from trainer.text import decode

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Features:
    """Clips by number. Everything that it gives out is read-only.

    train, validation: the numbers of each part's clips, sorted by name; frames: (clips,) int64, mel frames of
    each clip; skipped: clips that were longer than `corpus.max_seconds`; language: "en" or "ru"; fingerprint: the
    same for the same clips with the same texts, lengths and split; mels: (total frames, n_mels) float16, clip `i` in
    the rows from `offsets[i]` to before `offsets[i + 1]`; offsets: (clips + 1,) int64.
    """

    train: Sequence[int]
    validation: Sequence[int]
    frames: npt.NDArray[np.int64]
    skipped: int
    language: str
    fingerprint: int
    mels: npt.NDArray[np.float16] = field(repr=False)
    offsets: npt.NDArray[np.int64] = field(repr=False)
    _tokens: npt.NDArray[np.uint8] = field(repr=False)  # of all clips, one after the other
    _token_offsets: npt.NDArray[np.int64] = field(repr=False)
    _ids: npt.NDArray[np.uint8] = field(repr=False)  # UTF-8 of all clips, one after the other
    _id_offsets: npt.NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def n_mels(self) -> int:
        return int(self.mels.shape[1])

    def mel(self, i: int) -> npt.NDArray[np.float16]:
        """(frames, n_mels) log-mel of clip `i`, a view into the file. Sums of float16 overflow: convert it first."""
        return self.mels[self.offsets[i] : self.offsets[i + 1]]

    def tokens(self, i: int) -> npt.NDArray[np.int64]:
        """(tokens,) ids of `trainer.text.SYMBOLS`, from 1 on."""
        return _read_only(self._tokens[self._token_offsets[i] : self._token_offsets[i + 1]].astype(np.int64))

    def text(self, i: int) -> str:
        """What clip `i` says, normalised."""
        return decode(self.tokens(i).tolist())

    def id(self, i: int) -> str:
        """The clip's name in its corpus."""
        return self._ids[self._id_offsets[i] : self._id_offsets[i + 1]].tobytes().decode()


def open_features(config: TrainerConfig, progress: Progress = no_progress) -> Features:
    """Open the features of `config.corpus`, and compute them first where the cache lacks them.

    Where `paths.features` names a folder, open that one, without a look at the corpus; raises ConfigError where it was
    not made with these settings. Raises CorpusError for what is wrong with a list, a text or up to ten recordings, and
    where `corpus.max_seconds` leaves a part without clips.
    """
    if config.paths.features:
        return _open(given_features(config))
    return _open(locate_features(config, progress) or prepare(config, progress))


def locate_features(config: TrainerConfig, progress: Progress = no_progress) -> Path | None:
    """The folder in the cache that has the features of `config.corpus`; None where they were not computed yet.

    Raises CorpusError for what is wrong with a list.
    """
    folder = features_folder(config, content_hash(config.corpus, Path(config.paths.cache), progress))
    if not folder.is_dir():
        return None
    if not (folder / SETTINGS).exists():  # made by an earlier version; the name says the same
        with suppress(OSError):  # needed only where the folder goes to another machine
            write_settings(folder, config)
    return folder


def _open(folder: Path) -> Features:
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        # Plain views: slicing the memmap class itself takes eight times as long.
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
