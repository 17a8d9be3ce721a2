"""How long a worker is idle between two trials: from the last event of one to the first update of the next.

    python -m benchmarks.trial_gap [--without-tuner] [--device cuda] [--trials 6] [--frames 150000]

Runs the same short trials twice, one at a time: in a trainer that stays, and each in one that starts then. With the
tuner a trial has the default settings: TensorBoard, pictures, MLflow; that takes about four minutes on two cores.
`--without-tuner` passes the trials to the trainers directly, on a corpus of tones and without pictures and sounds, for
machines that have only torch, numpy and PyYAML, such as one with a GPU. The tuner's own work between trials (some
0.1 s) is then not counted.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, table, write_results
from benchmarks.tones import SETTINGS, write_tones
from trainer.config import TrainerConfig
from trainer.dotted import merge
from trainer.protocol import Event, EventKind, RunDir, all_events
from trainer.standby import start_line

CLIPS = 300  # of the corpus of tones
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
    parser.add_argument("--frames", type=int, default=150_000, help="of each trial")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--without-tuner", action="store_true", help="needs torch, numpy and PyYAML alone")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    if options.trials < 2:
        parser.error("--trials must be at least 2: a gap is between two")
    run_trials = trials_without_tuner if options.without_tuner else trials_of_tuner
    rows: list[dict[str, Any]] = []
    for name, stays in {"stays": True, "starts then": False}.items():
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"trainer": name, **figures(gaps(run_trials(Path(folder), options, stays)))})
    ratio = rows[1]["until updated, median s"] / rows[0]["until updated, median s"]
    print(table(rows))
    print(f"a trainer that stays shortens the gap {ratio:.1f} times")
    if options.json:
        write_results(options.json, {"gaps": rows, "ratio": ratio}, vars(options))


def trials_of_tuner(folder: Path, options: argparse.Namespace, stays: bool) -> list[Path]:
    """-> the trials' folders, in any order."""
    from rich.console import Console

    from smart_tuner.config import load_settings
    from smart_tuner.executors.local import LocalExecutor
    from smart_tuner.main import SmartTunerMain

    overrides = {
        "corpus": "demo:en:120",
        "preset": options.preset,
        "budget.frames": options.frames,
        "budget.reports": 2,
        "fixed.logging.progress_every_updates": 1,
        "pruner.kind": "none",
    }
    settings = load_settings(workspace=folder, jobs=1, device=options.device)
    tuner = SmartTunerMain(
        "quickstart",
        settings=settings,
        overrides=overrides,
        executor=LocalExecutor(standby=stays),
        console=Console(quiet=True),
    )
    tuner.optimize(options.trials)
    return list((folder / "runs" / "quickstart").glob("trial-*"))


def trials_without_tuner(folder: Path, options: argparse.Namespace, stays: bool) -> list[Path]:
    """As `trials_of_tuner`."""
    runs = [configure(folder, options, i) for i in range(options.trials)]
    if stays:
        with trainer("--standby") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for run in runs:
                process.stdin.write(start_line(run.config) + b"\n")
                process.stdin.flush()
                check(process.stdout.readline() == b"0\n", run)
            process.stdin.close()
    else:
        for run in runs:
            with trainer("--config", str(run.config), "--tied") as process:
                check(process.wait() == 0, run)
    return [run.path for run in runs]


def check(finished: bool, run: RunDir) -> None:
    if not finished:
        sys.exit(f"the trainer has not finished {run.path}:\n{run.log.read_text()[-2000:]}")


def configure(folder: Path, options: argparse.Namespace, number: int) -> RunDir:
    run = RunDir(folder / f"trial-{number}")
    run.create()
    settings = {
        "preset": options.preset,
        "seed": number,
        "corpus": {"source": str(folder / "corpus")},
        "text": {"language": "en"},
        "budget": {"frames": options.frames, "reports": 2},
        "device": {"name": options.device},
        "logging": {"progress_every_updates": 1, "tensorboard": False, "pictures": False, "samples": False},
        "paths": {"run": str(run.path), "cache": str(folder / "cache"), "features": str(folder / "features")},
    }
    run.config.write_text(json.dumps(merge(settings, SETTINGS)), encoding="utf-8")
    if number == 0:
        write_tones(TrainerConfig.load(run.config), CLIPS)
    return run


def trainer(*arguments: str) -> "subprocess.Popen[bytes]":
    """Tied to this process by its standard input; its log is in the trial's folder."""
    command = [sys.executable, "-m", "trainer", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)


def gaps(runs: list[Path]) -> list[Gap]:
    in_turn = sorted(runs, key=lambda path: first_event(path).time)
    return [gap(a, b) for a, b in pairwise(in_turn)]


def first_event(run: Path) -> Event:
    return all_events(RunDir(run).events)[0]


def gap(before: Path, after: Path) -> Gap:
    end = next(e.time for e in all_events(RunDir(before).events) if e.kind in ENDS)
    begun = all_events(RunDir(after).events)
    ready = next(e.time for e in begun if e.kind is EventKind.STARTED)
    updated = next(e.time for e in begun if e.kind is EventKind.PROGRESS)
    return Gap(ready - end, updated - end)


def figures(found: list[Gap]) -> dict[str, float]:
    ready, updated = [g.ready for g in found], [g.updated for g in found]
    return {
        "gaps": len(found),
        "until ready, median s": round(statistics.median(ready), 3),
        "until updated, median s": round(statistics.median(updated), 3),
        "until updated, worst s": round(max(updated), 3),
    }


if __name__ == "__main__":
    main()
