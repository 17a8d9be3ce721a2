"""How much compute a search saves that starts from studies on other corpora.

    python -m benchmarks.warm_start [--seeds 30] [--workers 1] [--json FILE]

Replays studies over recorded settings, as `benchmarks.search` does: one on each of the other corpora until its table is
exhausted, then one that starts from them, with our sampler and our rules. All tables were drawn with one seed:
apart from two ranges, the same settings stand in each. So there are three cases: the earlier studies have tried all of
them, also the one that is the best on the new corpus; or a half, another one for each seed; or the same half, while the
new study has the other one alone, so that nothing which it can find was tried before.
"""

import argparse
import random
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.recorded_table import Table, table_of
from benchmarks.replay import Ended, WarmStart, replay, source_of
from benchmarks.report import table, write_results
from benchmarks.search import CURVES, OURS, first, never, spread
from smart_tuner.warm_start import EarlierStudy
from trainer.data.processes import cores

PAIRS = (("ru", ("en",)), ("de", ("en", "ru")), ("en", ("ru",)))  # a corpus, and those of the studies before it
COMMON = 38  # settings that stand in all tables, at the same places
ALL = "all tried before"
HALF = "a half tried before"
OTHER_HALF = "a half tried before, the other now"
METHODS = {
    "without": WarmStart(settings=False, curves=False),
    "their best settings first": WarmStart(curves=False),
    "their curves at the rungs": WarmStart(settings=False),
    "both": WarmStart(),
}
OTHER_SEEDS = 1000  # added to those of the earlier studies


@dataclass(frozen=True)
class Case:
    corpus: str
    earlier: tuple[str, ...]
    tried: str  # ALL, HALF or OTHER_HALF
    method: str
    workers: int
    seed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(cores()) as pool:
        for corpus, earlier in PAIRS:
            for tried in (ALL, HALF, OTHER_HALF):
                name = f"{corpus} after {' and '.join(earlier)}, {tried}"
                cases = [Case(corpus, earlier, tried, method, options.workers, 0) for method in METHODS]
                rows = [{"warm start": case.method, **row_of(pool, case, options.seeds)} for case in cases]
                found[name] = rows
                print(f"\n{name}\n\n{table(rows)}", flush=True)
    if options.json:
        write_results(options.json, {"studies": found}, {"seeds": options.seeds, "workers": options.workers})


def row_of(pool: ProcessPoolExecutor, case: Case, seeds: int) -> dict[str, Any]:
    """Compute in budgets of one trial, over seeds."""
    ended = list(pool.map(ends_of, [replace(case, seed=seed) for seed in range(seeds)]))
    passes, near, nearest = ([each[place] for each in ended] for place in range(3))
    return {
        "first that passes": spread(passes),
        "within 5 %": spread(near),
        "never 5 %, %": never(near),
        "within 1 %": spread(nearest),
        "on mute, %": 100 * float(np.mean([each.mute / each.compute for each in passes if each])),
    }


def ends_of(case: Case) -> Sequence[Ended | None]:
    """The first setting that passes, and the first ones within 5 % and 1 % of the best."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    before = frozenset(range(COMMON))
    searched = recorded_table(case.corpus)
    if case.tried != ALL:
        before = frozenset(random.Random(case.seed).sample(range(COMMON), COMMON // 2))
    if case.tried == OTHER_HALF:
        searched = part(searched, set(range(len(searched.settings))) - before)
    sources = tuple(finished(corpus, before, case.seed + OTHER_SEEDS) for corpus in case.earlier)
    course = replay(searched, OURS, case.workers, case.seed, replace(METHODS[case.method], sources=sources))
    return (
        first(course, lambda setting: searched.settings[setting].passes),
        *(first(course, lambda s, most=most: searched.values[s] <= most * searched.best) for most in (1.05, 1.01)),  # type: ignore[misc]
    )


@cache
def recorded_table(corpus: str) -> Table:
    return table_of(CURVES / f"quickstart-{corpus}.jsonl")


@cache
def finished(corpus: str, settings: frozenset[int], seed: int) -> EarlierStudy:
    return source_of(part(recorded_table(corpus), settings), OURS, seed)


def part(whole: Table, places: Collection[int]) -> Table:
    kept = [setting for place, setting in enumerate(whole.settings) if place in places]
    return Table(whole.name, whole.study, kept)


if __name__ == "__main__":
    main()
