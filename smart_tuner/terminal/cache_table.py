"""What the cache of a workspace holds, as a table for people or as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smart_tuner.cache import CacheEntry
from smart_tuner.formatting import duration

_UNITS = ("B", "kB", "MB", "GB", "TB")


def print_cache(entries: Sequence[CacheEntry], now: float, console: Console) -> None:
    """now: seconds since the epoch, from which ages are counted."""
    if not entries:
        console.print("The cache holds nothing.")
        return
    table = Table("entry", "corpus", "size", "last used", "studies")
    for entry in entries:
        row = (entry.name, entry.corpus, size(entry.bytes), f"{duration(max(0, now - entry.used))} ago", _use(entry))
        table.add_row(*map(escape, row))
    console.print(table)
    total = size(sum(entry.bytes for entry in entries))
    console.print(f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}, {total}", highlight=False)


def _use(entry: CacheEntry) -> str:
    return "being prepared" if entry.in_work else ", ".join(entry.studies) or "none"


def size(count: float) -> str:
    """Bytes in short form, such as 12.3 MB."""
    for unit in _UNITS[:-1]:
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} {_UNITS[-1]}"


def cache_json(entries: Sequence[CacheEntry]) -> str:
    return json.dumps([asdict(entry) for entry in entries], indent=2, ensure_ascii=False)
