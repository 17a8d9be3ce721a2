"""The rows of a list: lines of cells, quoted by a csv writer or not, or lines of JSON. UTF-8; blank lines are skipped.

Lists with `|` are mostly written without quotes, and their texts begin and end with quotes of speech. Whether a csv
writer quoted the cells is decided by the whole file, since a single row does not tell. A row that cannot be read is a
fault, and reading goes on. Lines are read one at a time, and never more than `LONGEST_LINE` bytes of one.
"""

import csv
import json
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainer.data.faults import CorpusFaults, Fault, FaultKind, cannot_be_read
from trainer.data.recordings import has_audio_suffix, short

LONGEST_LINE = 2**20  # bytes
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SPACE, _NEWLINE = b" \n"
_RELEASED = 2**26  # bytes; whole pages

Quoting = Literal["none", "all", "mixed"]
Row = tuple[int, list[str]]  # number of the line on which it begins, cells


@dataclass(frozen=True)
class Form:
    """How the lines of a list are cut into cells. delimiter: "" for lines of JSON, whose cells are those of `keys`."""

    delimiter: str
    quoting: Quoting = "none"
    keys: tuple[str, ...] = ()


def read_rows(path: Path, form: Form) -> Iterator[Row | Fault]:
    """Raises CorpusFaults for a file that cannot be read at all."""
    if not form.delimiter:
        return _json_rows(path, form.keys)
    return _quoted_rows(path, form) if form.quoting == "all" else _plain_rows(path, form)


def read_lines(path: Path) -> Iterator[tuple[int, str] | Fault]:
    """(number, line) of each line that is not blank. Raises CorpusFaults where the file cannot be opened."""
    try:
        file = path.open("rb")  # as bytes: text mode also splits at separators that may be inside a text
    except OSError as error:
        fault = Fault(FaultKind.LAYOUT, str(path), f"{cannot_be_read(error)}.")
        raise CorpusFaults([fault]) from error
    with file:
        number = 0
        while raw := file.readline(LONGEST_LINE):
            number += 1
            if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                _skip_line(file)
                yield _too_long(path, number)
                continue
            line = _decoded(raw, path, number)
            if number == 1 and raw.startswith(_UTF16):
                yield Fault(FaultKind.ENCODING, f"{path.name}:1", "is not UTF-8 but UTF-16; save the file as UTF-8.")
                return
            if isinstance(line, Fault) or line.strip():
                yield line if isinstance(line, Fault) else (number, line)


def _skip_line(file: Any) -> None:
    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _too_long(path: Path, number: int) -> Fault:
    return Fault(
        FaultKind.LINE,
        f"{path.name}:{number}",
        f"the line is longer than {LONGEST_LINE:,} bytes; is this a list, with one line per recording?",
    )


def _decoded(raw: bytes, path: Path, number: int) -> str | Fault:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        text = f"is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8."
        return Fault(FaultKind.ENCODING, f"{path.name}:{number}", text)


def _plain_rows(path: Path, form: Form) -> Iterator[Row | Fault]:
    delimiter = form.delimiter
    quoted = re.compile(rf"(?:^|{re.escape(delimiter)}) *{_well_formed(delimiter)}")
    for line in read_lines(path):
        if isinstance(line, Fault):
            yield line
        elif form.quoting == "mixed" and any('""' in field for field in quoted.findall(line[1])):
            yield Fault(
                FaultKind.QUOTES,
                f"{path.name}:{line[0]}",
                f"is quoted as by a csv writer, but other lines begin with quotes that are not: {short(line[1])}. "
                'Write "" as ", without quotes around the text, or quote all lines.',
            )
        else:
            yield line[0], [cell.strip() for cell in line[1].split(delimiter)]


def _quoted_rows(path: Path, form: Form) -> Iterator[Row | Fault]:
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=form.delimiter, skipinitialspace=True, strict=True)
    while True:
        begins = lines.number + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield from lines.drain()
            yield Fault(
                FaultKind.QUOTES,
                f"{path.name}:{lines.number}",
                f'has quotes that do not match ({error}); a quote inside a quoted text is written "".',
            )
            lines.first = 0
            continue
        yield from lines.drain()
        if cells is None:
            return
        if broken := _swallowed(cells, form.delimiter):
            yield Fault(
                FaultKind.QUOTES,
                f"{path.name}:{lines.first or begins}",
                f"a quote is not closed: the text goes on over the next line, {short(broken)}; close the quote.",
            )
        else:
            yield lines.first or begins, [" ".join(cell.split("\n")).strip() for cell in cells]
        lines.first = 0


def _swallowed(cells: list[str], delimiter: str) -> str | None:
    """A line inside of a cell that is a row itself; None where there is none. Texts have commas, too."""

    def is_row(line: str) -> bool:
        return delimiter in line and (delimiter not in ",;" or any(map(has_audio_suffix, line.split(delimiter))))

    return next((line for cell in cells if "\n" in cell for line in cell.split("\n")[1:] if is_row(line)), None)


class _Lines:
    """The lines for a csv reader, which wants nothing else; faults wait until they are taken."""

    def __init__(self, path: Path) -> None:
        self._lines = read_lines(path)
        self._faults: list[Fault] = []
        self.number = 0  # of the last line
        self.first = 0  # of the row's first line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            if isinstance(line, Fault):
                self._faults.append(line)
                continue
            self.number = line[0]
            self.first = self.first or line[0]
            return line[1] + "\n"
        raise StopIteration

    def drain(self) -> list[Fault]:
        faults, self._faults = self._faults, []
        return faults


def quoting_of(path: Path, delimiter: str) -> Quoting:
    """Whether a csv writer quoted the cells: all that need it, none, or (a fault of these) only some.

    A cell that begins and ends with a quote is no evidence: a text may be all speech. Doubled quotes or a delimiter
    inside of a quoted cell are, and a quoted cell on each line.
    """
    if not _has_quote(path):
        return "none"
    mark = delimiter.encode()
    whole = stray = evidence = 0  # a text over several lines counts as one stray cell
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for cell in _quoted_cells(content, mark):
            whole += cell is not None
            stray += cell is None
            evidence += cell is not None and (b'""' in cell or mark in cell)
        if not evidence and not (whole and _on_each_line(content, delimiter, whole)):
            return "none"
    if stray > max(evidence, whole) // 2 + 1:
        return "mixed" if evidence else "none"
    return "all"


def _quoted_cells(content: mmap.mmap, mark: bytes) -> Iterator[bytes | None]:
    """Of each cell that begins with a quote, what is inside; None where it does not end as a csv writer ends it."""
    whole = re.compile(_well_formed(mark.decode()).encode(), re.MULTILINE)
    end = 0
    for quote in _matches(b'"', content):  # a literal is found many times faster than the beginning of a cell
        start = quote.start()
        if start < end:
            continue
        before = start - 1
        while before >= 0 and content[before] == _SPACE:
            before -= 1
        if before >= 0 and content[before] not in (mark[0], _NEWLINE):
            continue
        found = whole.match(content, start)
        end = found.end() if found else end
        yield found[1] if found else None


def _on_each_line(content: mmap.mmap, delimiter: str, cells: int) -> bool:
    """Whether each line has one of the quoted `cells`."""
    lines = sum(1 for _ in _matches(rb"^.*\S", content))
    if cells < lines:
        return False
    cell = rf"^(?:[^\n]*{re.escape(delimiter)})? *{_well_formed(delimiter)}"
    return sum(1 for _ in _matches(cell.encode(), content)) == lines


def _has_quote(path: Path) -> bool:
    with path.open("rb") as file:
        return any(b'"' in part for part in iter(lambda: file.read(LONGEST_LINE), b""))


def _matches(pattern: bytes, content: mmap.mmap) -> Iterator[re.Match[bytes]]:
    """Those in all lines. What was searched is released, or a large list would fill the memory."""
    released = 0
    for found in re.finditer(pattern, content, re.MULTILINE):
        yield found
        behind = (found.start() - released) // _RELEASED * _RELEASED
        if behind:
            content.madvise(mmap.MADV_DONTNEED, released, behind)
            released += behind


def _well_formed(delimiter: str) -> str:
    """The pattern of a cell as a csv writer quotes it, on one line; the group is what is between the quotes."""
    return rf'"((?:[^"\n]|"")*)" *(?=\r?$|{re.escape(delimiter)})'


def _json_rows(path: Path, keys: tuple[str, ...]) -> Iterator[Row | Fault]:
    for line in read_lines(path):
        if isinstance(line, Fault):
            yield line
            continue
        found = json_object(line[1])
        if found is None:
            yield Fault(
                FaultKind.LINE,
                f"{path.name}:{line[0]}",
                f"is no JSON object on one line: {short(line[1])}.",
            )
        else:
            yield line[0], [found.get(key, "").strip() for key in keys]


def json_object(line: str) -> dict[str, str] | None:
    """The object's values as text; those of an object inside of it by dotted keys. None: it is none."""
    try:
        raw = json.loads(line)
        if not isinstance(raw, dict):
            return None
        flat = dict[str, str]()
        for key, value in raw.items():
            inner = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
            flat |= {name: str(each) for name, each in inner.items() if isinstance(each, str | int | float)}
        "".join(flat.values()).encode()  # JSON can hold halves of characters
    except (ValueError, RecursionError):
        return None
    return flat
