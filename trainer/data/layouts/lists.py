"""Which file of a folder lists its clips, and words for folders where none does.

`metadata.csv` and other usual names first; then recordings with texts beside them; then the only file that could be a
list; then usual names one or two folders further down, as in Common Voice and Hugging Face folders; then other lists in
the folders below.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from trainer.data.faults import CorpusFaults, Fault, FaultKind
from trainer.data.layouts.pairs import Walk
from trainer.data.recordings import has_audio_suffix

USUAL = (
    "metadata.csv",
    "metadata.jsonl",
    "metadata.tsv",
    "metadata.txt",
    "metadata.json",
    "metadata.list",
    "validated.tsv",
    "transcript.txt",
    "transcripts.txt",
    "transcript.csv",
    "transcripts.csv",
    "transcript.tsv",
    "transcripts.tsv",
    "manifest.jsonl",
    "manifest.json",
    "transcript.jsonl",
)
_SUFFIXES = (".csv", ".tsv", ".psv", ".jsonl", ".json", ".list", ".lst")
_SPREADSHEETS = (".xlsx", ".xls", ".ods")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_TABLES = (".parquet", ".arrow")
_DEEP = 2  # folders below the corpus's, in which a list with a usual name is looked for
_LOOKED_AT = 200  # folders


def find_list(folder: Path, follow_links: bool) -> Path | Walk:
    """The list of the corpus `folder`, or its recordings with texts beside them.

    Raises CorpusFaults where there is none, or more than one.
    """
    names = _files(folder)
    if usual := _usual(names):
        return folder / usual
    walk = Walk(folder, follow_links)
    if walk.is_pairs:
        return walk
    if len(others := _lists(folder, names)) == 1:
        return folder / others[0]
    if not others:
        below = list(_below(folder)) or list(_lists_below(folder))
        others = [str(path.relative_to(folder)) for path in below]
        if len(below) == 1:
            return below[0]
    if others:
        raise CorpusFaults([Fault(FaultKind.LAYOUT, str(folder), _several(folder, others))])
    if walk.paired:
        return walk
    raise CorpusFaults([Fault(FaultKind.LAYOUT, str(folder), _none(folder, names, walk))])


def refuse_file(path: Path) -> None:
    """Raises CorpusFaults for a file that is no list, by its name."""
    name = path.name.lower()
    text = None
    if has_audio_suffix(name):
        text = "is a recording; give the folder that holds it, with its texts."
    elif name.endswith(_ARCHIVES):
        text = "is an archive; unpack it, and give the folder."
    elif name.endswith(_SPREADSHEETS):
        text = "is a spreadsheet; save it as CSV in UTF-8, with a header."
    elif name.endswith(_TABLES):
        text = "is a table of a data set library; export its recordings and a metadata.csv with `file_name,text`."
    if text:
        raise CorpusFaults([Fault(FaultKind.LAYOUT, str(path), text)])


def _files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
    except OSError as error:
        fault = Fault(FaultKind.LAYOUT, str(folder), f"the folder cannot be read ({error.strerror}).")
        raise CorpusFaults([fault]) from error


def _usual(names: list[str]) -> str | None:
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in USUAL if name in lower), None)


def _lists(folder: Path, names: list[str]) -> list[str]:
    """Files that could be lists: by their extension, or texts whose lines have columns."""
    return [
        name
        for name in names
        if name.lower().endswith(_SUFFIXES) or (name.lower().endswith(".txt") and _has_columns(folder / name))
    ]


def _has_columns(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            lines = [line for line in file.read(65536).splitlines()[:20] if line.strip()]
    except OSError:
        return False
    return bool(lines) and all(b"|" in line or b"\t" in line for line in lines)


def _below(folder: Path) -> Iterator[Path]:
    """The folders' lists with a usual name, not below one another."""
    waiting = [(folder, 0)]
    for _ in range(_LOOKED_AT):
        if not waiting:
            return
        here, depth = waiting.pop(0)
        try:
            with os.scandir(here) as entries:
                there = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        usual = _usual([entry.name for entry in there if entry.is_file()])
        if usual and depth:
            yield here / usual
        elif depth < _DEEP:
            folders = [entry for entry in there if entry.is_dir(follow_symlinks=False)]
            waiting += [(Path(entry.path), depth + 1) for entry in folders if not entry.name.startswith(".")]


def _lists_below(folder: Path) -> Iterator[Path]:
    """Files that could be lists in the folders below, as in `filelists/`."""
    try:
        with os.scandir(folder) as entries:
            folders = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for name in folders[:_LOOKED_AT]:
        if not name.startswith("."):
            here = folder / name
            yield from (here / each for each in _lists(here, _files(here)))


def _several(folder: Path, names: list[str]) -> str:
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    validation = next((name for name in names if any(part in name.lower() for part in ("val", "dev", "eval"))), None)
    training = next((name for name in names if "train" in name.lower()), names[0])
    second = f", and `corpus.validation_source: {folder / validation}` for validation" if validation else ""
    return (
        f"has several files that could be its list: {shown}. Name one as the corpus, such as `{folder / training}`"
        f"{second}."
    )


def _none(folder: Path, names: list[str], walk: Walk) -> str:
    if usual := next((name for name in USUAL if (folder / name).is_dir()), None):
        return f"has a folder {usual}/, but no list: a list is a file; name it as the corpus."
    fix = "add a metadata.csv with lines `name of the recording|text`, or a `name.txt` beside each recording."
    if "wav.scp" in names:
        return f"is a Kaldi folder (wav.scp); {fix}"
    for suffixes, what in ((_TABLES, "a data set in Parquet or Arrow"), (_ARCHIVES, "an archive")):
        if found := [name for name in names if name.lower().endswith(suffixes)]:
            return f"has no list of recordings, but {what}, {found[0]}: unpack or export it, and {fix}"
    if walk.recordings:
        return f"holds {walk.recordings:,} recordings, but no texts; {fix}"
    return f"has no metadata.csv, no other list and no recordings; {fix}"
