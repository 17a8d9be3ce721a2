"""Which figure of a short trial foretells the voice of a long one, from what `benchmarks.record_curves` recorded.

    python -m benchmarks.foretell FILE [FILE ...] [--times 8] [--json FILE]

Prints, for each file and each candidate objective: its rank correlation (Spearman), over settings, with the distance
from the recordings at the same budget and at `--times` that budget; how often the setting that it crowns in a random
subset is among the subset's three best at the long budget; and whether what it crowns fails sentences. A setting that a
candidate does not let pass ranks last. Then: how many sentences an evaluation needs for a ranking that is not noise,
and after which part of the long budget its final ranking can be seen.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.record_curves import recorded
from benchmarks.report import table, write_results
from trainer.evaluation.sentences import Sentence

Figures = Mapping[str, float]

FLOOR = 0.5  # alignment, or its free-running counterpart, that a candidate asks for
SUBSETS = 2000
SUBSET = 6  # settings
BEST = 3
SENTENCES = (2, 4, 8, 16, 30)


@dataclass(frozen=True)
class Candidate:
    """value: the less, the better."""

    name: str
    value: Callable[[Figures], float]
    passes: Callable[[Figures], bool] = lambda figures: True

    def score(self, figures: Figures) -> float:
        value = self.value(figures)
        return value if self.passes(figures) and math.isfinite(value) else math.inf


def of(name: str, sign: int = 1) -> Callable[[Figures], float]:
    return lambda figures: sign * figures.get(name, math.nan)


def aligned(figures: Figures) -> bool:
    return figures["alignment"] >= FLOOR


def speaks(figures: Figures) -> bool:
    return aligned(figures) and figures["free_running_alignment"] >= FLOOR and figures["free_running_failed"] <= 0.25


CANDIDATES = (
    Candidate("loss, if aligned (before)", of("loss"), aligned),
    Candidate("loss", of("loss")),
    Candidate("alignment", of("alignment", -1)),
    Candidate("free-running alignment", of("free_running_alignment", -1)),
    Candidate("failed, then loss", lambda f: 100 * f["free_running_failed"] + f["loss"], aligned),
    Candidate("variance", of("free_running_variance", -1), speaks),
    Candidate("recognised", of("free_running_recognised", -1), speaks),
    Candidate("margin", of("free_running_margin", -1), speaks),
    Candidate("MCD", of("free_running_mcd")),
    Candidate("MCD, if it speaks", of("free_running_mcd"), speaks),
    Candidate("distance", of("free_running_distance")),
    Candidate("distance, if it speaks", of("free_running_distance"), speaks),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--times", type=int, default=8, help="the long budget, in times the short one")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for file in options.files:
        rows = recorded(file)
        results[file.stem] = {
            "candidates": candidates(rows, options.times),
            "sentences": sentences([row for row in rows if row["times"] == 1]),
            "course": course([row for row in rows if row["times"] == options.times], options.times),
        }
        print(f"\n{file.stem}: {overview(rows)}\n")
        for part in results[file.stem].values():
            print(table(part) if part else "not recorded", end="\n\n")
    if options.json:
        write_results(options.json, results, vars(options))


def overview(rows: Sequence[Mapping[str, Any]]) -> str:
    counts: dict[int, int] = {}
    for row in rows:
        counts[row["times"]] = counts.get(row["times"], 0) + 1
    return ", ".join(f"{count} settings for {times} x the budget" for times, count in sorted(counts.items()))


def last(row: Mapping[str, Any]) -> Figures:
    last_report = row["reports"][-1] | row.get("voice", {})
    figures: Figures = {name: math.nan if value is None else value for name, value in last_report.items()}
    return figures


def candidates(rows: Sequence[Mapping[str, Any]], times: int) -> list[dict[str, Any]]:
    short = {row["setting"]: last(row) for row in rows if row["times"] == 1}
    long = {row["setting"]: last(row) for row in rows if row["times"] == times}
    both = sorted(short.keys() & long.keys())
    heard_short = {number: figures["free_running_distance"] for number, figures in short.items()}
    heard_long = {number: long[number]["free_running_distance"] for number in both}
    passing = [number for number in both if aligned(short[number])]
    found = []
    for candidate in CANDIDATES:
        scores = {number: candidate.score(figures) for number, figures in short.items()}
        crowned = min(scores, key=lambda number: (scores[number], number))
        found.append(
            {
                "candidate": candidate.name,
                f"same budget ({len(short)})": correlation(scores, heard_short, sorted(short)),
                f"{times} x ({len(both)})": correlation(scores, heard_long, both),
                f"{times} x, aligned ({len(passing)})": correlation(scores, heard_long, passing),
                f"crowned among {BEST} best of {SUBSET}": crowned_well(scores, heard_long, both),
                "crowned of all": crowned,
                "it fails": short[crowned]["free_running_failed"],
                "its MCD": short[crowned]["free_running_mcd"],
            }
        )
    return found


def correlation(scores: Mapping[int, float], heard: Mapping[int, float], numbers: Sequence[int]) -> float | None:
    """Settings that do not pass share the last rank."""
    if len(numbers) < 3:
        return None
    worst = max((value for value in scores.values() if math.isfinite(value)), default=0.0) + 1
    filled = [scores[number] if math.isfinite(scores[number]) else worst for number in numbers]
    if len(set(filled)) == 1:
        return None
    return float(spearmanr(filled, [heard[number] for number in numbers]).statistic)


def crowned_well(scores: Mapping[int, float], heard: Mapping[int, float], numbers: Sequence[int]) -> float | None:
    if len(numbers) < SUBSET:
        return None
    random = np.random.default_rng(0)
    good = 0
    for _ in range(SUBSETS):
        subset = random.choice(numbers, SUBSET, replace=False).tolist()
        crowned = min(subset, key=lambda number: (scores[number], random.random()))
        good += crowned in sorted(subset, key=lambda number: heard[number])[:BEST]
    return good / SUBSETS


def sentences(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Agreement of the ranking by a few sentences with that by as many others, over the settings that align."""
    kept = [row for row in rows if aligned(last(row))]
    distances = np.array([[distance(sentence) for sentence in row["sentences"]] for row in kept])  # (settings, clips)
    if len(kept) < 3:
        return []
    random = np.random.default_rng(0)
    found = []
    for count in SENTENCES:
        agreements = []
        spreads = []
        for _ in range(200):
            order = random.permutation(distances.shape[1])
            some = distances[:, order[:count]].mean(1)
            others = distances[:, order[count : 2 * count]].mean(1)
            agreements.append(spearmanr(some, others).statistic)
            spreads.append((some - some.mean() - (others - others.mean())).std() / math.sqrt(2))
        found.append(
            {
                "sentences": count,
                "rank correlation with as many others": float(np.mean(agreements)),
                "noise, dB": float(np.mean(spreads)),
                "settings apart, dB": float(distances.mean(1).std()),
            }
        )
    return found


def course(rows: Sequence[Mapping[str, Any]], times: int) -> list[dict[str, Any]]:
    """How the ranking at each multiple of the short budget agrees with the final one, over the same trainings."""
    if len(rows) < 3:
        return []
    final = [last(row)["free_running_distance"] for row in rows]
    found = []
    for multiple in range(1, times):
        reports = [report_at(row, multiple / times) for row in rows]
        found.append(
            {
                "times the budget": multiple,
                **{
                    f"{name}, rank correlation with the final distance": float(
                        spearmanr([report[figure] for report in reports], final).statistic
                    )
                    for name, figure in (("distance", "free_running_distance"), ("loss", "loss"))
                },
            }
        )
    return found


def report_at(row: Mapping[str, Any], share: float) -> Figures:
    """The report nearest to this share of the frames."""
    frames = share * row["reports"][-1]["frames"]
    nearest: Figures = min(row["reports"], key=lambda report: abs(report["frames"] - frames))
    return nearest


def distance(sentence: Mapping[str, Any]) -> float:
    """As `trainer.evaluation.sentences.Sentence.distance`."""
    own = {field.name: sentence.get(field.name, "") for field in fields(Sentence)}
    return Sentence(**own).distance


if __name__ == "__main__":
    main()
