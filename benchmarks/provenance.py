"""From which commit, date and machine the figures in benchmarks/results/ are: `python -m benchmarks.provenance`.

The site shows the same as its page Benchmarks, made whenever it is built. Standard library only.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
NOT_RECORDED = "not recorded"
_INTRODUCTION = """# Benchmarks

From which commit, date and machine the figures are that [Speed](performance.md), [Searching](search.md) and other pages
quote. `benchmarks/results/` has them as JSON, with the options; `python -m benchmarks.NAME --json FILE` measures them
again, and *Measuring* in [Contributing](contributing.md) says what each program answers. `-dirty` marks a tree with
changes that were not committed; what older programs did not write down is *not recorded*. The files in `curves/` have a
line for each training, with what it was made with; numbers in parentheses count them.
"""
_COLUMNS = ("file", "date", "commit", "machine", "torch", "Python")


def page(folder: Path = RESULTS) -> str:
    """In Markdown, the newest figures first."""
    rows = [_row(path) for path in sorted(folder.glob("*.json"))]
    rows += [_row_of_trainings(path) for path in sorted(folder.glob("curves/*.jsonl"))]
    rows.sort(key=lambda row: row["date"].replace(NOT_RECORDED, ""), reverse=True)
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *([row[name] for name in _COLUMNS] for row in rows)]
    return "\n".join([_INTRODUCTION, *(f"| {' | '.join(cells)} |" for cells in lines), ""])


def _row(path: Path) -> dict[str, str]:
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return _cells(path.name, content.get("date", NOT_RECORDED), content.get("machine", {}))


def _row_of_trainings(path: Path) -> dict[str, str]:
    """Trainings of a file may be of several machines and commits."""
    trainings = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    name = f"{path.parent.name}/{path.name}"
    rows = [_cells(name, _date_of_training(training), training.get("made", {})) for training in trainings]
    return {column: _counted(row[column] for row in rows) for column in _COLUMNS}


def _date_of_training(training: Mapping[str, Any]) -> str:
    """Older trainings have the time of each report."""
    last = training["reports"][-1]
    if "time" in last:
        return datetime.fromtimestamp(last["time"], UTC).strftime("%Y-%m-%d")
    date: str = training.get("made", {}).get("date", NOT_RECORDED)
    return date


def _counted(values: Iterable[str]) -> str:
    found = Counter(values)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{value} ({count})" for value, count in found.items())


def _cells(name: str, date: str, machine: Mapping[str, Any]) -> dict[str, str]:
    return {
        "file": f"`{name}`",
        "date": date,
        "commit": _commit(machine.get("commit")),
        "machine": _hardware(machine),
        "torch": machine.get("torch", NOT_RECORDED),
        "Python": machine.get("python", NOT_RECORDED),
    }


def _commit(recorded: str | Mapping[str, str] | None) -> str:
    """recorded: one, or by the part of the figures that is from it."""
    if isinstance(recorded, Mapping):
        return "; ".join(f"{part}: `{commit}`" for part, commit in recorded.items())
    return f"`{recorded}`" if recorded else NOT_RECORDED


def _hardware(machine: Mapping[str, Any]) -> str:
    if "processor" not in machine:
        return NOT_RECORDED
    gpu = f"{machine['gpu']}; " if machine.get("gpu") else ""
    return f"{gpu}{machine['cores']} cores of {machine['processor']}"


if __name__ == "__main__":
    print(page(), end="")
