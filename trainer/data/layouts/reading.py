"""What a layout yields: one entry for each clip, or a fault for each line that has none."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from trainer.data.faults import Fault, FaultKind
from trainer.data.layouts.layout import Columns, Kind, Layout
from trainer.data.layouts.pairs import place_of_text, read_text
from trainer.data.layouts.roles import not_speakers
from trainer.data.layouts.rows import read_rows
from trainer.data.recordings import short, stem

LONGEST_TEXT = 10_000  # characters; ten minutes of fast speech


class Entry(NamedTuple):
    """recording: the path relative to the corpus's folder, as far as the list says it."""

    origin: str
    id: str
    recording: str
    text: str
    speaker: str


def entries(layout: Layout) -> Iterator[Entry | Fault]:
    """Raises CorpusFaults where the list cannot be read."""
    return _paired(layout) if layout.columns is None else _listed(layout)


def _listed(layout: Layout) -> Iterator[Entry | Fault]:
    columns = layout.columns
    assert columns is not None, layout
    rows = read_rows(layout.path, layout.form)
    if layout.header:
        next(row for row in rows if not isinstance(row, Fault))
    list_name = layout.path.name
    recording = columns.recording.number
    texts = [text.number for text in columns.texts]
    speaker = None if columns.speaker is None else columns.speaker.number
    path = layout.place.path
    bare = layout.kind is Kind.LJSPEECH
    fewest, most = layout.widths
    for row in rows:
        if isinstance(row, Fault):
            yield row
            continue
        number, cells = row
        origin = f"{list_name}:{number}"
        if not fewest <= len(cells) <= most:
            yield _wrong_width(layout, columns, origin, cells)
            continue
        name = cells[recording]
        text = ""
        for i in texts:  # a generator takes longer than all else here
            if i < len(cells) and cells[i]:
                text = cells[i]
                break
        if not name or not text or len(text) > LONGEST_TEXT:
            of = "" if speaker is None else cells[speaker]
            yield replace(_incomplete(origin, name, text), speaker=of, recording=name, written=text)
            continue
        if speaker is not None and not cells[speaker]:
            assert columns.speaker is not None, columns
            missing = f"names no speaker, in {columns.speaker.shown}. {not_speakers(columns.speaker)}"
            yield Fault(FaultKind.NO_SPEAKER, origin, missing, recording=name, written=text)
            continue
        id_ = stem(name) if bare else name
        yield Entry(origin, id_, path(name), text, "" if speaker is None else cells[speaker])


def _wrong_width(layout: Layout, columns: Columns, origin: str, cells: list[str]) -> Fault:
    """Fewer columns than most lines have are enough if the text is among them, but nobody need write such a line.

    Of too many, those before the text are what they should be: it has the delimiter inside.
    """
    width = layout.widths[1]
    is_wide = len(cells) > width
    delimiter = layout.form.delimiter or "|"
    recording, text = columns.recording.number, min(column.number for column in columns.texts)
    line = delimiter.join(cells[min(recording, text) :] or cells)
    is_named = is_wide and columns.speaker is not None and columns.speaker.number < text
    return Fault(
        FaultKind.COLUMNS,
        origin,
        f"must have {width} columns as the other lines, but got {len(cells)} column(s): {short(line)}."
        f"{_inside(delimiter) if is_wide else ''}",
        speaker=cells[columns.speaker.number] if is_named and columns.speaker else "",
        recording=cells[recording] if is_wide and recording < text else "",
        written=delimiter.join(cells[text:]),
    )


def _inside(delimiter: str) -> str:
    name = "a tab" if delimiter == "\t" else f"`{delimiter}`"
    return f" Is {name} inside the text? Replace it by a blank."


def _incomplete(origin: str, name: str, text: str) -> Fault:
    if not name:
        return Fault(FaultKind.NO_NAME, origin, "names no recording; write its name, or remove the line.")
    if not text:
        return Fault(
            FaultKind.NO_TEXT, origin, f"the text of {short(name)} is empty; write what is said, or remove the line."
        )
    return Fault(
        FaultKind.LONG_TEXT,
        origin,
        f"the text of {short(name)} has {len(text):,} characters, which no clip can hold; cut the recording into "
        "sentences.",
    )


def _paired(layout: Layout) -> Iterator[Entry | Fault]:
    first: dict[str, str] = {}
    place = layout.place_of_texts
    for pair in layout.pairs:
        if pair.text is not None and first.setdefault(pair.text, pair.recording) != pair.recording:
            shared = (
                f"{pair.text} is the text of {first[pair.text]} and {pair.recording}; remove one of the recordings."
            )
            yield Fault(FaultKind.REPEATED, pair.recording, shared, recording=pair.recording)
            continue
        if pair.text is None:
            yield Fault(
                FaultKind.NO_TEXT,
                pair.recording,
                f"has no text; add {place_of_text(pair.recording, place)}, or remove the recording.",
                recording=pair.recording,
            )
            continue
        text = read_text(layout.root, pair.text)
        if isinstance(text, Fault):
            yield replace(text, recording=pair.recording)
        elif not text or len(text) > LONGEST_TEXT:
            yield replace(_incomplete(f"{pair.text}:1", pair.recording, text), recording=pair.recording, written=text)
        else:
            yield Entry(f"{pair.text}:1", stem(pair.recording), pair.recording, text, pair.folder or ".")
