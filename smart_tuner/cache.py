"""An entry of a workspace's cache, and which entries may be removed. `smart_tuner.run.cache` reads and removes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DAY = 24 * 3600.0  # seconds


@dataclass(frozen=True)
class CacheEntry:
    """name: its path within the cache; used: seconds since the epoch; corpus: "" where it is unknown.

    studies: those that use it; in_work: a process is preparing a corpus there.
    """

    name: str
    bytes: int
    used: float
    corpus: str
    studies: Sequence[str]
    in_work: bool


def unused(entries: Iterable[CacheEntry], days: float, now: float) -> list[CacheEntry]:
    """Those that no study uses, nobody is building, and that were last used at least `days` ago."""
    return [entry for entry in entries if not entry.studies and not entry.in_work and now - entry.used >= days * DAY]
