"""The disk space that features, an embedded corpus or a copy need: checked before the work, and said where a disk is
full."""

import errno
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.data.shards import Shard

SAMPLE = 64  # recordings whose lengths are read
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(OSError):
    """There is too little space. Says how much is needed."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ENOSPC, text)

    def __str__(self) -> str:
        return str(self.strerror)


def bytes_needed(rest: "Sequence[Shard]") -> int:
    """For computing what lacks of `rest` and appending all of it to the folder: one batch is stored twice meanwhile.

    An estimate, from the lengths that some recordings state.
    """
    # Imported here: opening computed features must work without audio libraries.
    from trainer.data.audio_files import stated_seconds
    from trainer.data.shards import batches

    clips = [clip for shard in rest for clip in shard.clips]
    audio, longest = rest[0].audio, rest[0].max_seconds
    sample = [stated_seconds(clip.wav) for clip in clips[:: -(-len(clips) // SAMPLE)]]
    seconds = sum(each for each in sample if each <= longest) / len(sample)  # longer ones are left out
    lacking = sum(len(shard.clips) for shard in rest if not shard.path.exists())
    stored = lacking + max(sum(len(shard.clips) for shard in batch) for batch in batches(rest))
    return int(stored * seconds * audio.sample_rate / audio.hop_length * audio.n_mels * 2)


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises DiskFull where the disk of `folder`, which need not be there yet, lacks `needed` bytes for `what`."""
    free = _free(folder)
    if free < needed:
        raise DiskFull(_text(folder, needed, free, what))


@contextmanager
def saying_what_is_needed(folder: Path, needed: Callable[[], int], what: str) -> Iterator[None]:
    """Let a full disk inside the block say how much is needed. needed: the bytes that are not written yet."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or isinstance(error, DiskFull):
            raise
        raise DiskFull(_text(folder, needed(), _free(folder), what)) from error


def _free(folder: Path) -> int:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _text(folder: Path, needed: int, free: int, what: str) -> str:
    return (
        f"{what} about {math.ceil(needed / 1e6):,} MB more in {folder}, where {free // 1_000_000:,} MB are free. Free "
        "some space, such as by `smart-tuner cache prune`, or use another disk. Start again to continue."
    )
