"""When `until: settled` ends a search, and what it misses, in simulated time over recorded settings.

    python -m benchmarks.settled [FILE ...] [--workers 1,4] [--seeds 30] [--json FILE]

FILE: as for `benchmarks.search`, which has the searches that run on. For each table and number of workers: our search
until its table is searched, until it has settled, and, for comparison, with as many trials as a person might choose.
Over seeds: trials that began, compute in budgets of one trial, and how much worse the best feasible setting is than the
table's best, in dB; `noise` is what `smart_tuner.settling` takes for the difference between seeds there.
"""

import argparse
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.recorded_table import Table, table_of
from benchmarks.replay import Course, Method, replay
from benchmarks.report import table, write_results
from benchmarks.search import CURVES, OURS
from smart_tuner.settling import USUAL_NOISE
from trainer.data.processes import cores

METHODS = (
    replace(OURS, name="all settings"),
    replace(OURS, name="until settled", until_settled=True),
    replace(OURS, name="10 trials", trials=10),
    replace(OURS, name="20 trials", trials=20),
)


@dataclass(frozen=True)
class Case:
    file: Path
    method: Method
    workers: int
    seed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="default: all tables of the space of quickstart")
    parser.add_argument("--workers", type=lambda text: [int(part) for part in text.split(",")], default=[1, 4])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    files = options.files or sorted(CURVES.glob("quickstart-*.jsonl"))
    rows = []
    with ProcessPoolExecutor(cores()) as pool:
        for workers in options.workers:
            for file in files:
                searched = table_of(file)
                for method in METHODS:
                    cases = [Case(file, method, workers, seed) for seed in range(options.seeds)]
                    rows.append(row_of(searched, method, workers, list(pool.map(course_of, cases))))
    print(table(rows))
    if options.json:
        write_results(options.json, {"rows": rows}, {"seeds": options.seeds})


def course_of(case: Case) -> Course:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return replay(table_of(case.file), case.method, case.workers, case.seed)


def row_of(searched: Table, method: Method, workers: int, courses: Sequence[Course]) -> dict[str, Any]:
    regret = [best_of(searched, course) - searched.best for course in courses]
    noise = USUAL_NOISE * searched.best
    return {
        "table": searched.name,
        "workers": workers,
        "search": method.name,
        "trials": spread([course.begun for course in courses], "{:.0f}"),
        "compute": spread([course.compute for course in courses], "{:.1f}"),
        "regret, dB": spread(regret, "{:.2f}"),
        "mean regret, dB": round(float(np.mean(regret)), 2),
        "within noise, %": round(100 * float(np.mean([value <= noise for value in regret]))),
        "none passes, %": round(100 * float(np.mean([not found_one(searched, course) for course in courses]))),
        "noise, dB": round(noise, 2),
    }


def best_of(searched: Table, course: Course) -> float:
    return min((searched.values[ended.setting] for ended in course.ended), default=math.inf)


def found_one(searched: Table, course: Course) -> bool:
    return any(searched.settings[ended.setting].passes for ended in course.ended)


def spread(values: Sequence[float], form: str) -> str:
    """Median and quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), method="nearest")
    return f"{form.format(middle)} ({form.format(low)} to {form.format(high)})"


if __name__ == "__main__":
    main()
