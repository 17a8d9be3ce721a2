"""How much compute a search needs until it has a good voice: ours against Optuna's samplers and pruners.

    python -m benchmarks.search [FILE ...] [--workers 1,4,16] [--seeds 30] [--json FILE]

FILE: settings that `benchmarks.record_curves` recorded; all of them are searched in simulated time, see
`benchmarks.replay`. For each table, number of workers and method, over seeds: compute, in budgets of one trial, until
the first setting that passes (every sentence ends, and its free-running alignment is at least 0.9) has been trained to
its end, and until one has that is within 5 % and 1 % of the best objective of the table; how often that never happens;
the share of the compute up to the first that went to settings which never align; and how long a decision takes among
1,000 trials. Optuna's pruners are told the distance at every report, which a trial measures only where it aligns.
"""

import argparse
import json
import math
import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from benchmarks.recorded_table import Table, curves_of, table_of
from benchmarks.replay import STARTUP_TRIALS, Course, Ended, Method, replay
from benchmarks.report import ROOT, table, write_results
from smart_tuner.alignment_pruner import AlignmentPruner
from smart_tuner.promotion import worthiest
from smart_tuner.pruning import Curve, Point, prune
from smart_tuner.spec import PrunerSpec
from trainer.data.processes import cores

CURVES = ROOT / "benchmarks" / "results" / "curves"
GRID = [0.5 * step for step in range(61)]  # budgets, at which the regret is kept
TRIALS = 1000  # for the time of a decision


def _halving(reports: int) -> optuna.pruners.BasePruner:
    """Asynchronous, without promotion: a trial that is not in the upper third at a rung ends."""
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)


def _hyperband(reports: int) -> optuna.pruners.BasePruner:
    return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=reports, reduction_factor=3)


class QuasiRandomStart(optuna.samplers.BaseSampler):
    """The first trials by Sobol's sequence, the others by TPE as ours."""

    def __init__(self, seed: int) -> None:
        self._first = quasi_random(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._then = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True
            )

    def _of(self, trial: FrozenTrial) -> optuna.samplers.BaseSampler:
        return self._first if trial.number < STARTUP_TRIALS else self._then

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


def quasi_random(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(
            scramble=True, seed=seed, warn_asynchronous_seeding=False, warn_independent_sampling=False
        )


class GaussianProcess(optuna.samplers.GPSampler):
    """Of the parameters that all trials have; Optuna's own keeps those that it found among fewer trials."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        finished = [known for known in study.get_trials(deepcopy=False) if known.number != trial.number]
        return optuna.search_space.intersection_search_space(finished, include_pruned=True)


OURS = Method("TPE + promotion (ours)", rules=PrunerSpec(kind="promotion"))
METHODS = (
    Method("random", sampler="random"),
    Method("TPE"),
    Method("TPE + MedianPruner", pruner=lambda reports: optuna.pruners.MedianPruner()),
    Method("TPE + PercentilePruner, 25 %", pruner=lambda reports: optuna.pruners.PercentilePruner(25.0)),
    Method("TPE + HyperbandPruner", pruner=_hyperband),
    Method("TPE + SuccessiveHalvingPruner", pruner=_halving),
    Method("stopping ASHA on the loss", sampler="random", pruner=_halving, figure="loss"),
    Method("TPE + MedianPruner on the loss", pruner=lambda reports: optuna.pruners.MedianPruner(), figure="loss"),
    Method("TPE + deadline and median (ours before)", rules=PrunerSpec()),
    Method("TPE + AlignmentPruner (ours, alone)", pruner=AlignmentPruner),
    Method("random + promotion", sampler="random", rules=PrunerSpec(kind="promotion")),
    OURS,
)
OTHERS = METHODS[:8]  # that do not need this project
PROPOSALS = (  # other ways to propose settings, with the same rules
    METHODS[-2],
    Method("quasi-random + promotion", sampler=quasi_random, rules=PrunerSpec(kind="promotion")),
    Method("quasi-random start, TPE + promotion", sampler=QuasiRandomStart, rules=PrunerSpec(kind="promotion")),
    Method("GP + promotion", sampler=GaussianProcess, rules=PrunerSpec(kind="promotion")),
    Method("TPE of the rate per clip + promotion", rules=PrunerSpec(kind="promotion"), is_tied=True),
    OURS,
)


def _rungs(eta: int, *rungs: float) -> Method:
    places = " and ".join(f"{rung:.0%}" for rung in rungs) if len(rungs) < 5 else "each report"
    return Method(f"one in {eta} at {places}", rules=PrunerSpec(kind="promotion", eta=eta, rungs=rungs))


RULES = (  # other rungs, with the same sampler
    _rungs(3, 0.1),
    _rungs(6, 0.1),
    _rungs(3, 0.2, 0.4),
    _rungs(2, 0.1, 0.3),
    _rungs(2, 0.1, 0.2, 0.5),
    _rungs(4, 0.1, 0.3),
    _rungs(3, *(0.1 * tenth for tenth in range(1, 10))),
    OURS,  # one in 3 at 10 % and 30 %
)
SETS = {"methods": METHODS, "proposals": PROPOSALS, "rules": RULES}


@dataclass(frozen=True)
class Case:
    file: Path
    guided_only: bool
    of: str  # key of `SETS`
    method: int  # of these
    workers: int
    seed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="default: all tables of the space of quickstart")
    parser.add_argument("--workers", type=lambda text: [int(part) for part in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--guided", action="store_true", help="also without the settings that have no guided attention")
    parser.add_argument(
        "--compare", choices=list(SETS), default="methods", help="whole methods; samplers or rungs alone"
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    files = options.files or sorted([*CURVES.glob("quickstart-*.jsonl"), *CURVES.glob("search-*.jsonl")])
    decisions = decision_times(table_of(files[0]))
    print(table([decisions]))
    tables: dict[str, Any] = known_tables(options.json)
    with ProcessPoolExecutor(cores()) as pool:
        for workers in options.workers:
            for file in files:
                for guided_only in (False, True) if options.guided else (False,):
                    searched = table_of(file, guided_only=guided_only)
                    found = tables.setdefault(searched.name, {"workers": {}}) | {"settings": described(searched)}
                    courses = courses_of(pool, file, guided_only, options.compare, workers, options.seeds)
                    rows = [row_of(searched, method, runs) for method, runs in courses]
                    if options.compare == "methods":
                        curves = {method.name: regrets(searched, runs) for method, runs in courses}
                        found["workers"][str(workers)] = {"rows": rows, "gain": gain(rows), "regret, dB": curves}
                    else:
                        found.setdefault(options.compare, {})[str(workers)] = {"rows": rows}
                    tables[searched.name] = found
                    print(f"\n{searched.name}, {workers} workers: {found['settings']}\n\n{table(rows)}\n", flush=True)
                    if options.json:
                        results = {"decision, ms": decisions, "grid": GRID, "tables": tables}
                        write_results(options.json, results, {"seeds": options.seeds})


def known_tables(file: Path | None) -> dict[str, Any]:
    """What was found before: a table and a number of workers take minutes, and may be searched one after another."""
    if file is None or not file.exists():
        return {}
    tables: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["tables"]
    return tables


def courses_of(
    pool: ProcessPoolExecutor, file: Path, guided_only: bool, compared: str, workers: int, seeds: int
) -> Sequence[tuple[Method, Sequence[Course]]]:
    """The course of each study, by method. compared: key of `SETS`."""
    methods = SETS[compared]
    cases = [
        Case(file, guided_only, compared, method, workers, seed)
        for method in range(len(methods))
        for seed in range(seeds)
    ]
    courses = list(pool.map(course_of, cases))
    return [(method, courses[at * seeds : (at + 1) * seeds]) for at, method in enumerate(methods)]


def course_of(case: Case) -> Course:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searched = table_of(case.file, guided_only=case.guided_only)
    return replay(searched, SETS[case.of][case.method], case.workers, case.seed)


def described(searched: Table) -> dict[str, float]:
    count = len(searched.settings)
    return {
        "settings": count,
        "never align": sum(not searched.aligns(number) for number in range(count)),
        "feasible": sum(math.isfinite(value) for value in searched.values),
        "pass": sum(setting.passes for setting in searched.settings),
        "best, dB": searched.best,
        "within 5 %": sum(value <= 1.05 * searched.best for value in searched.values),
        "within 1 %": sum(value <= 1.01 * searched.best for value in searched.values),
    }


def row_of(searched: Table, method: Method, courses: Sequence[Course]) -> dict[str, Any]:
    """A line of the table. Compute in budgets of one trial; what never happened counts as infinite."""
    passes = [first(course, lambda setting: searched.settings[setting].passes) for course in courses]
    near = {
        percent: [first(c, lambda s, p=percent: searched.values[s] <= (1 + p / 100) * searched.best) for c in courses]  # type: ignore[misc]
        for percent in (5, 1)
    }
    until = [ended or course for ended, course in zip(passes, courses, strict=True)]  # all, where none passed
    mute = [part.mute / part.compute for part in until]
    return {
        "method": method.name,
        "first that passes": spread(passes),
        "never, %": never(passes),
        "within 5 %": spread(near[5]),
        "never 5 %, %": never(near[5]),
        "within 1 %": spread(near[1]),
        "never 1 %, %": never(near[1]),
        "on mute, %": 100 * float(np.mean(mute)),
        "time to the first": median([ended.time if ended else math.inf for ended in passes]),
        "in all": float(np.mean([course.compute for course in courses])),
    }


def first(course: Course, is_wanted: Callable[[int], bool]) -> Ended | None:
    return next((ended for ended in course.ended if is_wanted(ended.setting)), None)


def never(found: Sequence[Ended | None]) -> float:
    return 100 * sum(ended is None for ended in found) / len(found)


def spread(found: Sequence[Ended | None]) -> str:
    """Median and quartiles of the compute."""
    computes = [ended.compute if ended else math.inf for ended in found]
    low, middle, high = (quantile(computes, share) for share in (0.25, 0.5, 0.75))
    return f"{shown(middle)} ({shown(low)} to {shown(high)})"


def shown(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "never"


def median(values: Sequence[float]) -> float | None:
    found = quantile(values, 0.5)
    return found if math.isfinite(found) else None


def quantile(values: Sequence[float], share: float) -> float:
    """One of the values, since some are infinite."""
    return sorted(values)[round(share * (len(values) - 1))]


def gain(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Our median compute as a share of the least one of the others."""
    others = {method.name for method in OTHERS}
    ours = next(row for row in rows if row["method"] == OURS.name)
    found = {}
    for figure in ("first that passes", "within 5 %", "within 1 %"):
        medians = [float(row[figure].split()[0].replace("never", "inf")) for row in rows if row["method"] in others]
        mine = float(ours[figure].split()[0].replace("never", "inf"))
        found[figure] = mine / min(medians) if math.isfinite(mine) else None
    return found


def regrets(searched: Table, courses: Sequence[Course]) -> dict[str, list[float]]:
    """How far the best feasible complete trial is from the table's best one, in dB, at each place of the grid."""
    hum = float(np.median([setting.reports[-1]["free_running_hum_mcd"] for setting in searched.settings]))
    curves = [[_best_until(searched, course, at, hum) - searched.best for at in GRID] for course in courses]
    low, middle, high = np.quantile(curves, (0.25, 0.5, 0.75), axis=0).round(3).tolist()
    return {"low": low, "median": middle, "high": high}


def _best_until(searched: Table, course: Course, compute: float, hum: float) -> float:
    """A study without a feasible trial has a hum."""
    return min([hum, *(searched.values[e.setting] for e in course.ended if e.compute <= compute + 1e-9)])


def decision_times(searched: Table) -> dict[str, float]:
    """Milliseconds that our rules take at a report, and when a worker is free, among `TRIALS` trials."""
    drawn = random.Random(1)
    curves = [_like(drawn.choice(curves_of(searched)), drawn) for _ in range(TRIALS)]
    reports, floor = searched.reports, searched.study.constraints.alignment.at_least
    objective = searched.study.objective.figure
    assert OURS.rules is not None
    rules = OURS.rules
    paused = {number: curve for number, curve in enumerate(curves) if len(curve) < reports}
    others = [curve for curve in curves if len(curve) == reports]
    mine = {1: curves[0][1]}
    return {
        "at a report": milliseconds(lambda: prune(mine, lambda: curves, rules, reports, floor, objective)),
        "when a worker is free": milliseconds(
            lambda: worthiest(paused, others, rules, reports, floor, objective, may_begin=True)
        ),
        "trials": TRIALS,
    }


def _like(curve: Curve, drawn: random.Random) -> Curve:
    """One that has come to a rung or to the end, moved a little."""
    last = drawn.choice([1, 1, 1, 1, 3, 3, len(curve)])
    moved = drawn.gauss(0, 0.02)
    return {i: Point(i, p.loss, p.alignment + moved, p.value) for i, p in curve.items() if i <= last}


def milliseconds(decide: Callable[[], object], times: int = 20) -> float:
    """The median of a few calls."""
    taken = []
    for _ in range(times):
        began = time.thread_time()  # of the processor: other programs may run
        decide()
        taken.append(1000 * (time.thread_time() - began))
    return float(np.median(taken))


if __name__ == "__main__":
    main()
