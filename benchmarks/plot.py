"""Draw the pictures of docs/ from the figures in benchmarks/results.

python -m benchmarks.plot
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from benchmarks.record_curves import recorded
from benchmarks.report import ROOT
from trainer.evaluation.verdict import CEILING_MCD, heard

RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
COLOURS = {"nvidia": "#b0b0b0", "plain": "#8c9fb5", "ours": "#2b6cb0", "ours bf16": "#dd6b20"}
LABELS = {"nvidia": "NVIDIA/tacotron2", "plain": "plain decoder", "ours": "ours, float32", "ours bf16": "ours, bf16"}
SEARCHES = {
    "TPE": "#718096",
    "TPE + MedianPruner": "#dd6b20",
    "TPE + HyperbandPruner": "#805ad5",
    "TPE + SuccessiveHalvingPruner": "#c53030",
    "TPE + promotion (ours)": "#2b6cb0",
}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for device in ("cpu", "cuda"):
        path = RESULTS / f"train_throughput_{device}.json"
        if path.exists():
            draw_throughput(json.loads(path.read_text("utf-8")), IMAGES / f"throughput-{device}.png")
    draw_parts(json.loads((RESULTS / "floor_cpu.json").read_text("utf-8")), IMAGES / "update-parts.png")
    draw_soak(json.loads((RESULTS / "soak.json").read_text("utf-8")), IMAGES / "soak.png")
    draw_search(json.loads((RESULTS / "search.json").read_text("utf-8")), IMAGES / "search-regret.png")
    draw_course(recorded(RESULTS / "curves" / "long-training.jsonl")[0], IMAGES / "voice-course.png")


def draw_throughput(results: dict[str, Any], path: Path) -> None:
    """One plot for each case, a bar for each variant."""
    cases = list(dict.fromkeys(row["case"] for row in results["rows"]))
    figure = Figure(figsize=(1 + 4 * min(3, len(cases)), 0.6 + 2.2 * -(-len(cases) // 3)), layout="constrained")
    for axes, case in zip(grid(figure, len(cases)), cases, strict=False):
        rows = [row for row in results["rows"] if row["case"] == case][::-1]
        bars = axes.barh(
            [LABELS[row["variant"]] for row in rows],
            [row["frames/s"] for row in rows],
            color=[COLOURS[row["variant"]] for row in rows],
        )
        slowest = rows[-1]
        ratios = [row["frames/s"] / slowest["frames/s"] for row in rows]
        axes.bar_label(
            bars,
            [f"{row['frames/s']:,.0f}  ({ratio:.1f}x)" for row, ratio in zip(rows, ratios, strict=True)],
            padding=3,
            fontsize=8,
        )
        axes.set_xlim(right=1.35 * max(row["frames/s"] for row in rows))
        size, batch, frames = case.split(":")
        axes.set_title(f"{size}, batch {batch}, {frames} frames", fontsize=10)
        axes.set_xlabel("mel frames per second")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.spines[["top", "right"]].set_visible(False)
    machine = results["machine"]
    figure.suptitle(machine["gpu"] or f"{machine['cores']} cores of {machine['processor']}", fontsize=11)
    figure.savefig(path, dpi=110)


def grid(figure: Figure, count: int) -> list[Axes]:
    across = min(3, count)
    return [figure.add_subplot(-(-count // across), across, i + 1) for i in range(count)]


def draw_parts(results: dict[str, Any], path: Path) -> None:
    """One bar for each case and precision, of the parts of an update."""
    figure = Figure(figsize=(10, 1 + 0.55 * len(results["parts"])), layout="constrained")
    axes = figure.add_subplot()
    names = [name for name in results["parts"][0] if name not in ("ms of an update", "total")]
    labels = [row["ms of an update"] for row in results["parts"]]
    left = [0.0] * len(labels)
    for i, name in enumerate(names):
        shares = [100 * row[name] / row["total"] for row in results["parts"]]
        axes.barh(labels, shares, left=left, label=name, color=f"C{i}")
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of an update, %")
    axes.legend(fontsize=7, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def draw_soak(results: dict[str, Any], path: Path) -> None:
    """Memory, files, threads and trials of the tuner over time."""
    minutes = [sample["minutes"] for sample in results["samples"]]
    figure = Figure(figsize=(10, 5), layout="constrained")
    shown = {"MB": "memory, MB", "files": "open files", "threads": "threads", "trials": "trials begun"}
    for axes, (name, label) in zip(figure.subplots(2, 2).flat, shown.items(), strict=True):
        axes.plot(minutes, [sample[name] for sample in results["samples"]], color="#2b6cb0", linewidth=1)
        axes.set_ylim(bottom=0)
        axes.set_title(label, fontsize=10)
        axes.set_xlabel("minutes")
        axes.spines[["top", "right"]].set_visible(False)
    faults = ", ".join(f"{count} x {name}" for name, count in results["strikes"].items())
    figure.suptitle(f"A tuner with two trials at a time, among faults from outside: {faults}", fontsize=10)
    figure.savefig(path, dpi=110)


def draw_course(row: Mapping[str, Any], path: Path) -> None:
    """How one voice came to speak over a long training, with the verdict over time."""
    reports = row["reports"]
    heard_at = [(report["frames"] / 1e6, heard(report)) for report in reports]
    millions = [at for at, _ in heard_at]
    figure = Figure(figsize=(10, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(millions, [report["free_running_mcd"] for report in reports], color="#2b6cb0", label="the voice")
    hum = reports[-1]["free_running_hum_mcd"]
    above.axhline(hum, color="#b0b0b0", linestyle="--", label="a hum")
    above.axhline(CEILING_MCD, color="#38a169", linestyle="--", label="the recordings after Griffin-Lim")
    above.set_ylim(0, hum + 2)
    above.set_ylabel("MCD, dB")
    above.legend(fontsize=8, loc="center left")
    curves = {
        "free_running_recognised": "recognised",
        "alignment": "aligned, with a teacher",
        "free_running_failed": "failed",
    }
    for (name, label), colour in zip(curves.items(), ("#2b6cb0", "#dd6b20", "#c53030"), strict=True):
        below.plot(millions, [report[name] for report in reports], color=colour, label=label)
    below.set_ylim(-0.02, 1.02)
    below.set_xlabel("million mel frames of speech seen")
    below.legend(fontsize=8, loc="center right")
    for verdict in dict.fromkeys(verdict for _, verdict in heard_at if verdict):
        begins = next(at for at, now in heard_at if now is verdict)
        above.axvline(begins, color="#4a5568", linewidth=0.5)
        above.text(begins, hum + 1.9, f" {verdict}", fontsize=8, rotation=90, va="top")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def draw_search(results: dict[str, Any], path: Path) -> None:
    """How far the best complete trial is from the best setting of a table: median and quartiles, over the compute."""
    panels = [
        (f"{name}, {workers} {'worker' if workers == '1' else 'workers'}", found["regret, dB"])
        for name, table in results["tables"].items()
        for workers, found in table["workers"].items()
    ]
    figure = Figure(figsize=(1 + 4 * min(3, len(panels)), 0.6 + 3 * -(-len(panels) // 3)), layout="constrained")
    drawn = grid(figure, len(panels))
    for axes, (title, curves) in zip(drawn, panels, strict=True):
        for method, colour in SEARCHES.items():
            if method in curves:
                at, band = results["grid"], curves[method]
                axes.plot(at, band["median"], color=colour, label=method, linewidth=1.5)
                axes.fill_between(at, band["low"], band["high"], color=colour, alpha=0.12)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, 20)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("compute, in budgets of one trial")
        axes.set_ylabel("from the best setting, dB")
        axes.spines[["top", "right"]].set_visible(False)
    drawn[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
