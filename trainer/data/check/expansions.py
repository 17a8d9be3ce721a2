"""What is spoken in another way than it is written, in all texts: each expansion once, with its number of places."""

from collections.abc import Iterable

from trainer.corpus_report import Expanded
from trainer.data.check.findings import Clip


def expanded(clips: Iterable[Clip]) -> list[Expanded]:
    """By kind, most frequent first."""
    found: dict[tuple[str, str, str], list[Clip]] = {}
    for clip in clips:
        for each in clip.expansions:
            found.setdefault((str(each.kind), each.written, each.spoken), []).append(clip)
    rows = [Expanded(*key, len(places), places[0].origin, places[0].written) for key, places in found.items()]
    return sorted(rows, key=lambda row: (row.kind, -row.count))
