"""From which commit, date and machine the figures in benchmarks/results/ are: `python -m benchmarks.provenance`.

The site shows the same as its page Benchmarks, made whenever it is built. Standard library only.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
NOT_RECORDED = "not recorded"
_INTRODUCTION = """# Benchmarks

From which commit, date and machine the figures are that [Speed](performance.md), [Searching](search.md) and other pages
quote. `benchmarks/results/` has them as JSON, with the options; `python -m benchmarks.NAME --json FILE` measures them
again, and *Measuring* in [Contributing](contributing.md) says what each program answers. `-dirty` marks a tree with
changes that were not committed.
"""
_COLUMNS = ("file", "date", "commit", "machine", "torch", "Python")


def page(folder: Path = RESULTS) -> str:
    """In Markdown, the newest figures first."""
    rows = [_row(path) for path in sorted(folder.glob("*.json"))]
    rows.sort(key=lambda row: row["date"].replace(NOT_RECORDED, ""), reverse=True)
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *([row[name] for name in _COLUMNS] for row in rows)]
    return "\n".join([_INTRODUCTION, *(f"| {' | '.join(cells)} |" for cells in lines), ""])


def _row(path: Path) -> dict[str, str]:
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    machine = content.get("machine", {})
    return {
        "file": f"`{path.name}`",
        "date": content.get("date", NOT_RECORDED),
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
    if not machine:
        return NOT_RECORDED
    gpu = f"{machine['gpu']}; " if machine.get("gpu") else ""
    return f"{gpu}{machine['cores']} cores of {machine['processor']}"


if __name__ == "__main__":
    print(page(), end="")
