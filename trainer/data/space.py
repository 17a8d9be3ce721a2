"""The disk space that the features of a corpus need: checked before the work, and said where a disk is full.

An estimate: the lengths are those that some of the recordings state.
"""

import errno
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainer.data.shards import Shard, batches

SAMPLE = 64  # recordings whose lengths are read
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(OSError):
    """There is too little space. Says how much is needed."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ENOSPC, text)

    def __str__(self) -> str:
        return str(self.strerror)


def bytes_needed(rest: Sequence[Shard]) -> int:
    """For computing what lacks of `rest` and appending all of it to the folder: one batch is stored twice meanwhile."""
    # Imported here: opening computed features must work without audio libraries.
    from trainer.data.audio_files import stated_seconds

    clips = [clip for shard in rest for clip in shard.clips]
    audio, longest = rest[0].audio, rest[0].max_seconds
    sample = [stated_seconds(clip.wav) for clip in clips[:: -(-len(clips) // SAMPLE)]]
    seconds = sum(each for each in sample if each <= longest) / len(sample)  # longer ones are left out
    lacking = sum(len(shard.clips) for shard in rest if not shard.path.exists())
    stored = lacking + max(sum(len(shard.clips) for shard in batch) for batch in batches(rest))
    return int(stored * seconds * audio.sample_rate / audio.hop_length * audio.n_mels * 2)


def check_space(folder: Path, rest: Sequence[Shard]) -> None:
    """Raises DiskFull where the disk of `folder` lacks space for `rest`."""
    needed = bytes_needed(rest)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(_text(folder, needed, free))


@contextmanager
def saying_what_is_needed(folder: Path, rest: Callable[[], Sequence[Shard]]) -> Iterator[None]:
    """Let a full disk inside the block say how much `rest` needs. rest: the shards that are not appended yet."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or isinstance(error, DiskFull):
            raise
        raise DiskFull(_text(folder, bytes_needed(rest()), shutil.disk_usage(folder).free)) from error


def _text(folder: Path, needed: int, free: int) -> str:
    return (
        f"The features of the corpus need about {math.ceil(needed / 1e6):,} MB more in {folder}, where "
        f"{free // 1_000_000:,} MB are free. Free some space, such as by `smart-tuner cache prune`, or use a cache on "
        "another disk (`--workspace`, `paths.cache`). Finished work is kept: start again to continue."
    )
