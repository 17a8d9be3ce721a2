"""How long a worker idles between two trials: from the last word of one to the next one's first update.

    python -m benchmarks.trial_gap

Runs the same short study twice in one run, with a trainer that stands by and without, one trial at a time, with
all that a trial has by default: TensorBoard, pictures, MLflow. Takes about four minutes on two cores.
"""

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.report import table, write_results
from smart_tuner.config import load_settings
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.main import SmartTunerMain
from trainer.protocol import Event, EventKind, RunDir, all_events

ENDS = (EventKind.FINISHED, EventKind.STOPPED)


@dataclass(frozen=True)
class Gap:
    """Seconds from a trial's last event: until the next trainer is ready to update, and until it has updated once."""

    ready: float
    updated: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--preset", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--frames", type=int, default=150_000, help="of each trial; it must outlast an import of torch")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, standby in {"standing by": True, "started anew": False}.items():
        with tempfile.TemporaryDirectory() as folder:
            gaps = measure(Path(folder), options.trials, options.preset, options.frames, standby)
        rows.append({"trainer": name, **figures(gaps)})
    ratio = rows[1]["until updated, median s"] / rows[0]["until updated, median s"]
    print(table(rows))
    print(f"standing by shortens the gap {ratio:.1f} times")
    if options.json:
        write_results(options.json, {"gaps": rows, "ratio": ratio}, vars(options))


def measure(folder: Path, trials: int, preset: str, frames: int, standby: bool) -> list[Gap]:
    overrides = {
        "corpus": "demo:en:120",
        "preset": preset,
        "budget.frames": frames,
        "budget.reports": 2,
        "fixed.logging.progress_every_updates": 1,
        "pruner.kind": "none",
    }
    settings = load_settings(workspace=folder, jobs=1)
    tuner = SmartTunerMain(
        "quickstart",
        settings=settings,
        overrides=overrides,
        executor=LocalExecutor(standby=standby),
        console=Console(quiet=True),
    )
    tuner.optimize(trials)
    runs = sorted((folder / "runs" / "quickstart").glob("trial-*"), key=lambda path: first_event(path).time)
    return [gap(a, b) for a, b in pairwise(runs)]


def first_event(run: Path) -> Event:
    return all_events(RunDir(run).events)[0]


def gap(before: Path, after: Path) -> Gap:
    end = next(e.time for e in all_events(RunDir(before).events) if e.kind in ENDS)
    begun = all_events(RunDir(after).events)
    ready = next(e.time for e in begun if e.kind is EventKind.STARTED)
    updated = next(e.time for e in begun if e.kind is EventKind.PROGRESS)
    return Gap(ready - end, updated - end)


def figures(gaps: list[Gap]) -> dict[str, float]:
    ready, updated = [g.ready for g in gaps], [g.updated for g in gaps]
    return {
        "gaps": len(gaps),
        "until ready, median s": round(statistics.median(ready), 3),
        "until updated, median s": round(statistics.median(updated), 3),
        "until updated, worst s": round(max(updated), 3),
    }


if __name__ == "__main__":
    main()
