"""Finds out the layout of a corpus from its folder or list, and from a sample of its rows."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from trainer.config import ColumnsConfig, CorpusConfig
from trainer.data.faults import CorpusFaults, Fault, FaultKind, setting
from trainer.data.layouts import roles
from trainer.data.layouts.columns import Column, same_sentences
from trainer.data.layouts.layout import Kind, Layout
from trainer.data.layouts.lists import find_list, refuse_file
from trainer.data.layouts.pairs import Walk
from trainer.data.layouts.places import Placed, folders_of, place_of
from trainer.data.layouts.rows import Form, json_object, quoting_of, read_lines, read_rows
from trainer.data.recordings import Recordings, has_audio_suffix

HEAD = 1000  # rows at the beginning of a list, of which a sample is taken
HEAD_CHARACTERS = 2**23  # after which no more rows are taken
SAMPLE = 300  # rows
MOST_COLUMNS = 200
FEW_ROWS = 5  # say little about their first one
_Line = TypeVar("_Line", tuple[int, str], tuple[int, list[str]])
_FIRST = ("|", "\t")  # texts have commas and semicolons; these only by exception
_NEARLY_ALL = 0.95  # of the lines; some may be faulty


def detect(source: str, config: CorpusConfig) -> Layout:
    """The layout of the corpus `source`, a folder or a list. Raises CorpusFaults where it cannot be understood."""
    given = Path(source).expanduser()
    if given.is_dir():
        found = _in_folder(given, config)
        if isinstance(found, Walk):
            if config.columns != ColumnsConfig():
                raise _refused(source, "has texts beside the recordings; `corpus.columns` has no effect, remove it.")
            return _pairs(given, found)
        return _Detection(given, found, config, from_folder=True).layout()
    if not given.is_file():
        raise _refused(
            source,
            "the corpus does not exist; give a folder with recordings and texts, a list of `path|text` lines, or "
            "`demo:en`.",
        )
    refuse_file(given)
    if config.layout == "pairs":
        raise _refused(source, "is a file, but `corpus.layout` is pairs; give the folder that holds the recordings.")
    return _Detection(given.parent, given, config, from_folder=False).layout()


def _in_folder(folder: Path, config: CorpusConfig) -> Path | Walk:
    if config.layout == "pairs":
        return Walk(folder, config.follow_links)
    found = find_list(folder, config.follow_links)
    if isinstance(found, Walk) and config.layout != "auto":
        raise _refused(
            str(folder), f"has no list, but texts beside the recordings; `corpus.layout` is {config.layout}, not pairs."
        )
    return found


def _pairs(folder: Path, walk: Walk) -> Layout:
    notes = []
    if left := walk.without_recording:
        shown = ", ".join(left[:3])
        notes.append(f"not used: {len(left):,} text{'s' * (len(left) > 1)} without a recording ({shown})")
    folders = Counter(pair.folder or "." for pair in walk.pairs()).most_common()
    if len(folders) > 1:
        shown = ", ".join(f"{name} ({count:,})" for name, count in folders[:3])
        notes.append(
            f"recordings from {len(folders)} folders as one voice, {shown}{', ...' if len(folders) > 3 else ''}; "
            f"{setting('speaker', folders[0][0])} takes those of one"
        )
    return Layout(Kind.PAIRS, folder, folder, pairs=tuple(walk.pairs()), notes=tuple(notes))


def _refused(origin: str, text: str) -> CorpusFaults:
    return CorpusFaults([Fault(FaultKind.LAYOUT, origin, text)])


@dataclass(frozen=True)
class _Detection:
    """A list at `path` of recordings under `root`."""

    root: Path
    path: Path
    config: CorpusConfig
    from_folder: bool

    def layout(self) -> Layout:
        form = self._form()
        rows = self._sample(form)
        widths = _widths([cells for _, cells in rows]) if form.delimiter else (len(form.keys),) * 2
        names = self._header(rows[0][1], form)
        if names is not None and form.delimiter:
            rows = rows[1:]
            widths = (1, len(names))
            if not rows:
                raise _refused(self.path.name, "has a header, and no rows; it needs one row per recording.")
        columns = _columns([cells for _, cells in rows], names, widths[1])
        recording, placed = self._recording(columns)
        if names is None and placed.found and self._is_unknown_header(rows[0][1], recording, placed):
            return replace(self, config=replace(self.config, layout="table")).layout()
        is_ljspeech = self.config.layout == "ljspeech"
        chosen = roles.choose(columns, recording, self.config.columns, self.path.name, is_ljspeech=is_ljspeech)
        needed = max(column.number for column in (recording, chosen.texts[-1], chosen.speaker or recording)) + 1
        return Layout(
            kind=self._kind(form, names is not None),
            root=self.root,
            path=self.path,
            form=form,
            place=placed.place,
            columns=chosen,
            header=names is not None and form.delimiter != "",
            widths=(needed, widths[1]),
        )

    def _kind(self, form: Form, header: bool) -> Kind:
        if not form.delimiter:
            return Kind.JSON
        if header:
            return Kind.TABLE
        is_usual = self.from_folder and self.path.stem.lower() == "metadata" and form.delimiter == "|"
        if self.config.layout == "auto":
            return Kind.LJSPEECH if is_usual else Kind.LIST
        return Kind(self.config.layout)

    def _form(self) -> Form:
        lines = self._lines()
        if self.config.layout == "json" or (self.config.layout == "auto" and lines[0].lstrip().startswith("{")):
            objects = [found for line in lines if (found := json_object(line)) is not None]
            keys = dict.fromkeys(key for found in objects for key in found)
            if not keys:
                raise _refused(f"{self.path.name}:1", "is no JSON object on one line; `corpus.layout` is json.")
            return Form("", keys=tuple(keys))
        if lines[0].lstrip().startswith("["):
            raise _refused(self.path.name, "is one JSON array; write one object per line (JSON lines).")
        delimiter = _delimiter(lines)
        if delimiter is None:
            raise _refused(
                self.path.name,
                "its lines have no columns: no |, tab, comma or semicolon is in most of them; write one line per "
                "recording, `path|text`.",
            )
        if self.config.layout == "ljspeech" and delimiter != "|":
            raise _refused(self.path.name, "`corpus.layout` is ljspeech, but most lines have no |.")
        return Form(delimiter, quoting_of(self.path, delimiter))

    def _lines(self) -> list[str]:
        whole = [line[1] for line in _head(read_lines(self.path)) if not isinstance(line, Fault)]
        if not whole:
            if faults := [line for line in read_lines(self.path) if isinstance(line, Fault)]:
                raise CorpusFaults(faults)
            raise _refused(self.path.name, "is empty; it needs one line per recording.")
        return whole

    def _sample(self, form: Form) -> list[tuple[int, list[str]]]:
        rows = [row for row in _head(read_rows(self.path, form)) if not isinstance(row, Fault)]
        if not rows:
            raise CorpusFaults([row for row in read_rows(self.path, form) if isinstance(row, Fault)])
        if max(len(cells) for _, cells in rows) > MOST_COLUMNS:
            raise _refused(
                self.path.name, f"has lines of more than {MOST_COLUMNS} columns; is it a list of recordings?"
            )
        step = max(1, len(rows) // SAMPLE)
        return [rows[0], *rows[1:][::step]]

    def _header(self, cells: Sequence[str], form: Form) -> list[str] | None:
        """The names of the columns, where the first row has them."""
        if not form.delimiter:
            return list(form.keys)
        if self.config.layout in ("ljspeech", "list"):
            return None
        wanted = {str(name) for name in vars(self.config.columns).values() if str(name).strip("0123456789")}
        lower = [cell.lower() for cell in cells]
        both = any(name in lower for name in roles.RECORDINGS) and any(name in lower for name in roles.TEXTS)
        is_header = self.config.layout == "table" or wanted & set(cells) or both
        return list(cells) if is_header and not self._is_recording(cells) else None

    def _is_recording(self, cells: Sequence[str]) -> bool:
        """Whether the first row of what looks like a header names a recording after all."""
        if self.config.layout == "table":
            return False
        return place_of([cell for cell in cells if cell], self._recordings, self._folders).found > 0

    def _is_unknown_header(self, cells: Sequence[str], recording: Column, placed: Placed) -> bool:
        """Whether the first row names no recording while the others do, and has the name of a column.

        Raises CorpusFaults where it has no known name, and may be a header all the same.
        """
        name = cells[recording.number] if recording.number < len(cells) else ""
        if self.config.layout != "auto" or placed.found < placed.tried - 1 or has_audio_suffix(name):
            return False
        if self._recordings.exists(placed.place.path(name)) or not all(map(str.isidentifier, cells)):
            return False
        if not {cell.lower() for cell in cells}.isdisjoint((*roles.RECORDINGS, *roles.TEXTS, *roles.SPEAKERS)):
            return True
        if len(recording.filled) <= FEW_ROWS:
            return False
        raise _refused(
            f"{self.path.name}:1",
            f"there is no recording {name!r}, while the other lines have theirs. If the line is a header, say so with "
            f"{setting('layout', 'table')}; else add the recording, or remove the line.",
        )

    @property
    def _recordings(self) -> Recordings:
        return Recordings(self.root, self.config.follow_links)

    @property
    def _folders(self) -> list[str]:
        beside = os.path.relpath(self.path.parent, self.root)
        return folders_of(self.root, "" if beside == os.curdir else f"{beside}/", self.from_folder)

    def _recording(self, columns: Sequence[Column]) -> tuple[Column, Placed]:
        """The column whose values have the most recordings."""
        recordings, folders = self._recordings, self._folders
        if self.config.columns.recording != "":
            column = roles.named(columns, self.config.columns.recording, "recording", self.path.name)
            return column, place_of(column.filled, recordings, folders)
        likely = [*roles.known(columns, roles.RECORDINGS), *columns]
        best: tuple[Column, Placed] | None = None
        for column in dict.fromkeys(likely):
            if not column.filled:
                continue
            placed = place_of(column.filled, recordings, folders)
            if best is None or placed.found > best[1].found:
                best = column, placed
            if placed.found == placed.tried:
                break
        if best is None:
            raise _refused(
                self.path.name,
                f"no line has {len(columns)} columns with something in them; each needs a recording and its text.",
            )
        return best


def _head(read: Iterator[_Line | Fault]) -> Iterator[_Line | Fault]:
    """The first ones of a list, in bounded memory."""
    size = 0
    for each in islice(read, HEAD):
        yield each
        size += 0 if isinstance(each, Fault) else sum(map(len, each[1]))
        if size > HEAD_CHARACTERS:
            return


def _delimiter(lines: Sequence[str]) -> str | None:
    shares = {each: _share(each in line for line in lines) for each in "|\t,;"}
    frequent = [each for each, share in shares.items() if share >= 0.5]
    if not frequent:
        return None
    # Between delimiters, names of recordings are whole cells; and a delimiter is in nearly all lines.
    evidence = {each: (_cuts_names(lines, each), min(shares[each], _NEARLY_ALL)) for each in frequent}
    best = [each for each in frequent if evidence[each] == max(evidence.values())]
    if best[0] in _FIRST:
        return best[0]
    # Of a comma and a semicolon, texts have the one that is not as often in each line.
    return max(best, key=lambda each: max(Counter(line.count(each) for line in lines).values()))


def _cuts_names(lines: Sequence[str], delimiter: str) -> bool:
    """Whether half of the lines have a cell that is the name of a recording."""
    return _share(any(has_audio_suffix(cell.strip(' "')) for cell in line.split(delimiter)) for line in lines) >= 0.5


def _share(answers: Iterable[bool]) -> float:
    return fmean(map(float, answers))


def _widths(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The number of cells of most rows; of two that are as frequent the smaller one.

    A third cell in some rows only counts where it is the text, normalised: it is as LJSpeech has it.
    """
    counts = Counter(map(len, rows))
    most = max(counts.values())
    width = max(2, min(width for width, count in counts.items() if count == most))
    if width == 2 and counts[3]:
        with_third = [row for row in rows if len(row) == 3]
        written, third = _columns(with_third, None, 3)[1:]
        width = 3 if same_sentences(written, third) else 2
    return 2, width


def _columns(rows: Sequence[Sequence[str]], names: Sequence[str] | None, width: int) -> list[Column]:
    padded = [[*row, *[""] * (width - len(row))] for row in rows if len(row) <= width]
    return [
        Column(number, names[number] if names else "", tuple(row[number] for row in padded)) for number in range(width)
    ]
