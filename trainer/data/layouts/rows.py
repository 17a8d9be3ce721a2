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

from trainer.data.faults import CorpusFaults, Fault, FaultKind
from trainer.data.recordings import short

LONGEST_LINE = 2**20  # bytes
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

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
        fault = Fault(FaultKind.LAYOUT, str(path), f"cannot be read ({error.strerror}).")
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
        what = "but UTF-16" if number == 1 and raw.startswith(_UTF16) else f"(byte 0x{error.object[error.start]:02x})"
        return Fault(FaultKind.ENCODING, f"{path.name}:{number}", f"is not UTF-8 {what}; save the file as UTF-8.")


def _plain_rows(path: Path, form: Form) -> Iterator[Row | Fault]:
    delimiter = form.delimiter
    quoted = _well_formed(delimiter) if form.quoting == "mixed" else None
    for line in read_lines(path):
        if isinstance(line, Fault):
            yield line
        elif quoted is not None and any('""' in field for field in quoted.findall(line[1])):
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
    """A line inside of a cell that is a row itself; None where there is none."""
    for cell in cells:
        if "\n" in cell:
            return next((line for line in cell.split("\n")[1:] if delimiter in line), None)
    return None


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
    if path.stat().st_size == 0:
        return "none"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b'"') < 0:
            return "none"
        mark = re.escape(delimiter.encode())
        begins = sum(1 for _ in re.finditer(rb'(?:^|%b) *"' % mark, content, re.MULTILINE))
        whole = [found[1] for found in re.finditer(_well_formed(delimiter).pattern.encode(), content, re.MULTILINE)]
        evidence = sum(b'""' in cell or delimiter.encode() in cell for cell in whole)
        if not evidence and not _on_each_line(content, delimiter, len(whole)):
            return "none"
    stray = begins - len(whole)  # a text over several lines counts as one
    if stray > max(evidence, len(whole)) // 2 + 1:
        return "mixed" if evidence else "none"
    return "all"


def _on_each_line(content: mmap.mmap, delimiter: str, cells: int) -> bool:
    """Whether each line has one of the quoted `cells`."""
    lines = sum(1 for _ in re.finditer(rb"^.*\S", content, re.MULTILINE))
    if cells < lines:
        return False
    pattern = rb"^[^\n]*?" + _well_formed(delimiter).pattern.encode() + rb"[^\n]*$"
    return sum(1 for _ in re.finditer(pattern, content, re.MULTILINE)) == lines


def _well_formed(delimiter: str) -> re.Pattern[str]:
    """A cell as a csv writer quotes it, on one line; the group is what is between the quotes."""
    mark = re.escape(delimiter)
    return re.compile(rf'(?:^|{mark}) *"((?:[^"\n]|"")*)" *(?=\r?$|{mark})', re.MULTILINE)


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
