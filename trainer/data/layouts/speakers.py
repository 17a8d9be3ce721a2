"""The speakers of a list: counted, and chosen by `corpus.speaker`. A voice is of one, unless `all` is chosen."""

from collections import Counter

from trainer.data.faults import Fault, FaultKind, setting
from trainer.data.layouts.layout import Kind, Layout
from trainer.data.layouts.roles import not_speakers

ALL = "all"
LONG = 20  # characters of a name that is shown and chosen by its beginning, as the hashes of Common Voice
BEGINNING = 12
SHOWN = 8


class Speakers:
    """chosen: the value of `corpus.speaker`, or "". `takes` counts each clip."""

    def __init__(self, layout: Layout, chosen: str) -> None:
        self._layout = layout
        self._chosen = "" if chosen == ALL else chosen
        self._is_all = chosen == ALL
        self._counts = Counter[str]()
        self._taken = set[str]()

    def takes(self, speaker: str) -> bool:
        """Whether a clip of this speaker is used."""
        if not speaker and not self._chosen:
            return True
        self._counts[speaker] += 1
        if not self._chosen or self._is_chosen(speaker):
            self._taken.add(speaker)
            return True
        return False

    def faults(self) -> list[Fault]:
        """After all clips: a choice that is missing, or that is of nobody."""
        text = self._wrong_choice() if self._chosen else self._missing_choice()
        return [Fault(FaultKind.SPEAKERS, self._layout.path.name, text)] if text else []

    def __str__(self) -> str:
        """Who is taken; "" where the corpus names nobody."""
        if self._layout.kind is Kind.PAIRS and not self._chosen:
            return ""
        taken = [(name, count) for name, count in self._counts.most_common() if name in self._taken and name]
        if not taken:
            return ""
        if len(taken) == 1:
            name, count = taken[0]
            left_out = self._counts.total() - count
            others = f", {left_out:,} of other speakers left out" if left_out else ""
            return f"speaker {_short(name)}, {count:,} of {self._counts.total():,} clips{others}"
        return f"{len(taken)} speakers as one voice"

    def _is_chosen(self, speaker: str) -> bool:
        return speaker == self._chosen or (
            len(speaker) > LONG and len(self._chosen) >= BEGINNING and speaker.startswith(self._chosen)
        )

    def _missing_choice(self) -> str | None:
        if self._is_all or len(self._counts) < 2 or self._layout.kind is Kind.PAIRS:
            return None
        most = _short(self._counts.most_common(1)[0][0])
        column = self._layout.columns and self._layout.columns.speaker
        return (
            f"has {len(self._counts)} speakers, {self._listed()}. A voice is of one: choose with "
            f"{setting('speaker', most)}, or take all as one voice with {ALL!r}."
            f"{f' {not_speakers(column)}' if column else ''}"
        )

    def _wrong_choice(self) -> str | None:
        if len(self._taken) == 1:
            return None
        if self._taken:
            return f"`corpus.speaker` = {self._chosen!r} is the beginning of {len(self._taken)} names; give more of it."
        if set(self._counts) <= {""}:
            return (
                f"`corpus.speaker` = {self._chosen!r}, but no column was found to name speakers; name it with "
                f"{setting('columns.speaker', 'COLUMN')}, or remove the key."
            )
        return f"no clip is of `corpus.speaker` = {self._chosen!r}; there are {self._listed()}.{self._longer()}"

    def _longer(self) -> str:
        """How to name a speaker of whose name too little was given."""
        meant = [name for name in self._counts if len(name) > LONG and name.startswith(self._chosen)]
        if not meant:
            return ""
        return (
            f" {self._chosen!r} is the beginning of {len(meant)} of these names, but too short: give the first "
            f"{BEGINNING} characters or more, as {setting('speaker', _short(meant[0]))}."
        )

    def _listed(self) -> str:
        names = self._counts.most_common()
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return ", ".join(f"{_short(name)} ({count:,})" for name, count in names[:SHOWN]) + more


def _short(name: str) -> str:
    return name if len(name) <= LONG else name[:BEGINNING]
