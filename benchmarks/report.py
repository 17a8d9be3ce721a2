"""How benchmarks print their tables and keep their results: with the machine, the versions and the commit."""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainer.data.processes import cores

ROOT = Path(__file__).resolve().parents[1]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table; columns in the order in which they first appear."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(columns)]

    def line(parts: Sequence[str]) -> str:
        return "| " + " | ".join(part.rjust(width) for part, width in zip(parts, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|"
    return "\n".join([line(columns), rule, *(line(parts) for parts in cells)])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def write_results(path: Path, results: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Write `results` with the options, without paths, and the machine. Warns where the commit is not what was run."""
    content = {
        "date": today(),
        "machine": machine(),
        "options": {name: v for name, v in options.items() if name != "json" and not isinstance(v, Path)},
        **results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if warning := _doubt(content["machine"]["commit"]):
        print(f"{path}: {warning}", file=sys.stderr)


def _doubt(commit: str) -> str | None:
    """Why figures cannot be measured again from their commit; None where they can."""
    if not commit:
        return "git does not know the commit of these figures; measure in a checkout to record it"
    if commit.endswith("-dirty"):
        return f"these figures are of {commit}, a tree with changes; commit those and measure again before quoting them"
    return None


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def machine() -> dict[str, Any]:
    """Hardware and versions, on which the figures depend."""
    import torch  # takes seconds, also in processes that a benchmark starts

    return {
        "processor": processor(),
        "cores": cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "commit": commit(),
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """Of the working tree; marked as dirty if it has changes, empty if git does not know it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
