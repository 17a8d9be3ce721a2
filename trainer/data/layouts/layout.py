"""What was found out about a corpus: which file lists its clips, in which form, and what its columns are."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from trainer.data.faults import setting
from trainer.data.layouts.columns import Column
from trainer.data.layouts.pairs import Pair
from trainer.data.layouts.places import Place
from trainer.data.layouts.rows import Form

SHOWN = 4  # columns that are not used
_PAIRS = "recordings with a text file beside each"
_DELIMITERS = {"|": "|", "\t": "tabs", ",": "commas", ";": "semicolons"}


class Kind(StrEnum):
    """The values of `corpus.layout`."""

    LJSPEECH = "ljspeech"
    LIST = "list"
    TABLE = "table"
    JSON = "json"
    PAIRS = "pairs"


@dataclass(frozen=True)
class Columns:
    """texts: the first one that is not empty in a row is its text; others: columns that are not used; perhaps_speaker:
    the one of these that may name speakers."""

    recording: Column
    texts: tuple[Column, ...]
    speaker: Column | None = None
    others: tuple[Column, ...] = ()
    perhaps_speaker: Column | None = None


@dataclass(frozen=True)
class Layout:
    """root: the corpus's folder, which no recording leaves; path: the list, `root` itself for pairs.

    widths: the smallest and the largest number of cells of a row.
    """

    kind: Kind
    root: Path
    path: Path
    form: Form = field(default_factory=lambda: Form("|"))
    place: Place = field(default_factory=lambda: Place(""))
    columns: Columns | None = None
    header: bool = False
    widths: tuple[int, int] = (2, 2)
    pairs: tuple[Pair, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    @property
    def place_of_texts(self) -> tuple[str, str]:
        """Of pairs: the first folders of recordings and of their texts; the same where each text is beside its own."""
        places = (pair.place for pair in self.pairs)
        return next((place for place in places if place[0] != place[1]), ("", ""))

    def __str__(self) -> str:
        """In one line: what is taken, and what else there is."""
        if self.columns is None:
            sounds, texts = self.place_of_texts
            apart = f"recordings in {sounds}/ with a text file in {texts}/"
            return "; ".join((_PAIRS if sounds == texts else apart, *self.notes))
        columns = self.columns
        texts = " or ".join(text.shown for text in columns.texts)
        parts = [f"{self._named()}: recordings from {columns.recording.shown}, {self.place.shown}, texts from {texts}"]
        if len(columns.texts) > 1:
            parts[0] += " where that is empty"
        if columns.speaker is not None:
            parts.append(f"speakers from {columns.speaker.shown}")
        if others := [column.described for column in columns.others if column.filled]:
            parts.append("not used: " + ", ".join(others[:SHOWN]) + (", ..." if len(others) > SHOWN else ""))
        if perhaps := columns.perhaps_speaker:
            parts.append(
                f"if {perhaps.shown} names speakers, say so with {setting('columns.speaker', perhaps.setting)}"
            )
        return "; ".join((*parts, *self.notes))

    def _named(self) -> str:
        name = self.path.relative_to(self.root) if self.path.is_relative_to(self.root) else self.path
        match self.kind:
            case Kind.LJSPEECH:
                return f"LJSpeech layout ({name})"
            case Kind.JSON:
                return f"JSON lines ({name})"
            case Kind.TABLE:
                return f"table with a header ({name}, {self._cut()})"
        return f"list ({name}, {self._cut()})"

    def _cut(self) -> str:
        quotes = ", quoted" if self.form.quoting == "all" else ""
        return f"cut at {_DELIMITERS[self.form.delimiter]}{quotes}"
