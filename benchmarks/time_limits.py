"""What a search has in hand when its time is up: ours with and without its last stretch, and Optuna's median.

    python -m benchmarks.time_limits [FILE ...] [--seeds 30] [--json FILE]

FILE: settings that `benchmarks.record_curves` recorded, searched in simulated time (`benchmarks.replay`). The time is
in budgets of one trial. For each table, number of workers, time and method, over seeds: by how much the best feasible
setting that has been trained to its end is behind the table's best, how often there is none, how often one passes, and
the trials that have begun and ended.
"""

import argparse
import math
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from benchmarks.recorded_table import table_of
from benchmarks.replay import Method, replay
from benchmarks.report import table, write_results
from benchmarks.search import CURVES, OURS, quantile
from smart_tuner.formatting import counted
from trainer.data.processes import cores

METHODS = (
    Method("TPE + MedianPruner", pruner=lambda reports: optuna.pruners.MedianPruner()),
    replace(OURS, name="TPE + promotion, no last stretch", finishes=False),
    OURS,
)
TIMES = {1: (2.0, 3.0, 5.0), 4: (1.5, 2.0)}  # workers -> budgets
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Case:
    file: Path
    method: int  # of `METHODS`
    workers: int
    time: float
    seed: int


@dataclass(frozen=True)
class InHand:
    """behind: dB, of the best feasible setting that was trained to its end; infinite without one."""

    behind: float
    passes: bool
    begun: int
    ended: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="default: all tables of the space of quickstart")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    files = options.files or sorted(CURVES.glob("quickstart-*.jsonl"))
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(cores()) as pool:
        for workers, times in TIMES.items():
            for file in files:
                of_table = []
                for time in times:
                    for method in range(len(METHODS)):
                        cases = [Case(file, method, workers, time, seed) for seed in range(options.seeds)]
                        of_table.append(row_of(cases[0], list(pool.map(in_hand, cases))))
                print(f"\n{file.stem}, {counted(workers, 'worker')}\n\n{table(of_table)}\n", flush=True)
                rows += [{"table": file.stem, "workers": workers, **row} for row in of_table]
                if options.json:
                    write_results(options.json, {"rows": rows}, {"seeds": options.seeds})


def in_hand(case: Case) -> InHand:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searched = table_of(case.file)
    course = replay(searched, METHODS[case.method], case.workers, case.seed, limit=case.time)
    best = min((searched.values[ended.setting] for ended in course.ended), default=math.inf)
    passes = any(searched.settings[ended.setting].passes for ended in course.ended)
    return InHand(best - searched.best, passes, course.begun, len(course.ended))


def row_of(case: Case, found: Sequence[InHand]) -> dict[str, Any]:
    """Median and quartiles of the distance; None: without a setting."""
    low, middle, high = (quantile([each.behind for each in found], share) for share in QUARTILES)
    return {
        "time": case.time,
        "method": METHODS[case.method].name,
        "behind, dB": _or_none(middle),
        "from": _or_none(low),
        "to": _or_none(high),
        "none, share": statistics.fmean(math.isinf(each.behind) for each in found),
        "one passes, share": statistics.fmean(each.passes for each in found),
        "begun": statistics.fmean(each.begun for each in found),
        "ended": statistics.fmean(each.ended for each in found),
    }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    main()
