"""The stages of `benchmarks.check_gpu`: the program of each, and what its figures must be.

A stage's program writes its figures as JSON (pytest: as XML). `read` returns the figures to show, and the reasons why
the stage failed, if it did.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.trial_parts import summary

ALIGNED = 0.5  # of `short_trial`: the default that a study requires of a voice
EXACT = 1e-9  # relative, in float64
Figures = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """The sizes of all stages. On a CPU they need only run."""

    device: str
    tiny_frames: int
    full_frames: int
    full_aligns: bool
    outside_frames: int
    clips: int
    every: int  # updates from one report of progress to the next
    cases: tuple[str, ...]
    seconds: float  # that a benchmark measures
    at_once: tuple[int, ...]
    gap_frames: int  # on a GPU as many as it takes to import torch
    limit: float  # seconds of one stage
    longest: float  # seconds of one stage of `--all`
    packed: tuple[int, ...]  # tiny trials at once
    packed_full: tuple[int, ...]
    packed_batch: int | None  # clips of a batch of them; None: the preset's
    services: tuple[bool, ...]  # without and with NVIDIA's Multi-Process Service
    tuned: tuple[str, ...]  # sizes of kernels
    trial_frames: int  # of the quickstart, one trial and those of a study
    study: tuple[int, int]  # trials, at once
    lengths: tuple[int, int]  # clips of the corpus with LJSpeech's lengths, batch


SIZES = {
    "cuda": Sizes(
        device="cuda",
        tiny_frames=600_000,
        full_frames=900_000,
        full_aligns=True,
        outside_frames=150_000,
        clips=1000,
        every=10,
        cases=("tiny:64:400", "full:64:400"),
        seconds=2.0,
        at_once=(1, 4),
        gap_frames=600_000,
        limit=120,
        longest=900,
        packed=(1, 2, 4, 8, 16),
        packed_full=(1, 2, 4),
        packed_batch=None,
        services=(False, True),
        tuned=("full:128", "full:64", "tiny:64"),
        trial_frames=600_000,
        study=(50, 8),
        lengths=(13_100, 128),
    ),
    "cpu": Sizes(
        device="cpu",
        tiny_frames=280_000,
        full_frames=4_000,
        full_aligns=False,
        outside_frames=8_000,
        clips=300,
        every=1,
        cases=("tiny:16:60",),
        seconds=0.2,
        at_once=(1, 2),
        gap_frames=4_000,
        limit=600,
        longest=1800,
        packed=(1, 2),
        packed_full=(1,),
        packed_batch=2,
        services=(False,),
        tuned=("tiny:2",),
        trial_frames=4_000,
        study=(2, 2),
        lengths=(60, 16),
    ),
}


@dataclass(frozen=True)
class Stage:
    name: str
    answers: str
    command: Callable[[Sizes], Sequence[str]]  # arguments of Python, without the file of figures
    read: Callable[[Path, Sizes], tuple[Figures, list[str]]]
    file_option: str = "--json="
    is_long: bool = False  # runs by `--all`
    environment: Mapping[str, str] = field(default_factory=dict)


def stages(sizes: Sizes) -> Mapping[str, Stage]:
    """By name, in the order in which they run."""
    made = [
        Stage("tests", "whether the tests that need a GPU pass on it", _pytest, _read_tests, "--junitxml="),
        Stage("graphs", "how far graphs are from the plain decoder, in float64", _parity, _read_parity),
        Stage("kernels", "whether graphs of updates are right, and how fast they are", _kernels, _read_kernels),
        Stage("tiny", "whether a tiny voice trains and aligns", _tiny, _read_training),
        Stage("full", "whether a full-size voice trains and aligns", _full, _read_training),
        Stage("outside", "what a trial spends outside of updates, in seconds", _outside, _read_outside),
        Stage("throughput", "frames per second of whole updates", _throughput, _read_throughput),
        Stage("floor", "how fast updates could be on this machine", _floor, _read_floor),
        Stage("packing", "several trials at once", _packing, _read_packing),
        Stage("gap", "seconds from one trial's end to the next one's first update", _gap, _read_gap),
        Stage("say", "real-time factors of a voice that speaks", _say, _read_say),
    ]
    return {stage.name: stage for stage in (*made, *_long_stages(sizes))}


def _long_stages(sizes: Sizes) -> list[Stage]:
    """What takes minutes, or needs the whole installation: the embedded corpus, the tuner."""
    interpreted = {"TRITON_INTERPRET": "1"} if sizes.device == "cpu" else {}
    made = [
        Stage("table", "the fastest settings of the kernels here", _table, _read_table, environment=interpreted),
        Stage("checked", "all checks and parts of the kernels", _checked, _read_kernels),
        Stage("trial", "a trial of the quickstart, with compiled kernels", _trial_parts, _read_outside),
        Stage("validation", "what a full-size trial spends outside of updates", _full_parts, _read_outside),
        Stage("epochs", "the loop through a corpus with LJSpeech's lengths", _epochs, _read_epochs),
        Stage("speech", "what evaluations of speech cost a trial", _speech, _read_speech),
        Stage("study", "a study of the quickstart, and where its time goes", _study, _read_study),
    ]
    for service in sizes.services:
        for preset, numbers in (("tiny", sizes.packed), ("full", sizes.packed_full)):
            name = f"{preset}-mps" if service else f"{preset}-packed"
            answers = f"{preset} trials at once{', by MPS' if service else ''}"
            made.append(Stage(name, answers, partial(_pack, preset, numbers, service), _read_packing))
    return [replace(stage, is_long=True) for stage in made]


def _module(name: str, *arguments: object) -> list[str]:
    return ["-m", f"benchmarks.{name}", *map(str, arguments)]


def _pytest(sizes: Sizes) -> list[str]:
    files = ("tests/trainer/test_cuda.py", "tests/trainer/test_recurrence.py")
    # Warnings of another version of torch are no faults of a GPU.
    return ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", *files]


def _parity(sizes: Sizes) -> list[str]:
    return _module("graph_parity", "--device", sizes.device)


def _kernels(sizes: Sizes) -> list[str]:
    return _module("kernels", "--device", sizes.device, "--brief")


def _tiny(sizes: Sizes) -> list[str]:
    return _trial(sizes, "--preset", "tiny", "--frames", sizes.tiny_frames, "--every", sizes.every)


def _full(sizes: Sizes) -> list[str]:
    frames = ("--frames", sizes.full_frames, "--reports", 4 if sizes.full_aligns else 1, "--every", sizes.every)
    return _trial(sizes, "--preset", "full", "--reduction", 2, *frames)


def _outside(sizes: Sizes) -> list[str]:
    trial = ("--frames", sizes.outside_frames, "--reports", 3, "--rounds", 1)
    return _module("trial_parts", "--device", sizes.device, *trial)


def _trial(sizes: Sizes, *arguments: object) -> list[str]:
    return _module("short_trial", "--device", sizes.device, "--clips", sizes.clips, *arguments)


def _throughput(sizes: Sizes) -> list[str]:
    measured = ("--variants", "ours bf16", "--rounds", 1, "--seconds", sizes.seconds)
    return _module("train_throughput", "--device", sizes.device, "--cases", *sizes.cases, *measured)


def _floor(sizes: Sizes) -> list[str]:
    measured = ("--variants", "ours bf16", "--seconds", sizes.seconds)
    return _module("floor", "--device", sizes.device, "--cases", sizes.cases[-1], *measured)


def _packing(sizes: Sizes) -> list[str]:
    measured = ("--at-once", *sizes.at_once, "--seconds", 2 * sizes.seconds)
    return _module("packing", "--device", sizes.device, *measured)


def _pack(preset: str, numbers: Sequence[int], service: bool, sizes: Sizes) -> list[str]:
    measured = ("--at-once", *numbers, "--seconds", 2 * sizes.seconds, *(["--mps"] if service else []))
    batch = () if sizes.packed_batch is None else ("--batch", sizes.packed_batch)
    return _module("packing", "--device", sizes.device, "--preset", preset, *batch, *measured)


def _table(sizes: Sizes) -> list[str]:
    return _module("tune_kernels", "--device", sizes.device, "--sizes", *sizes.tuned)


def _checked(sizes: Sizes) -> list[str]:
    return _module("kernels", "--device", sizes.device)


def _trial_parts(sizes: Sizes) -> list[str]:
    """The first round compiles; the least of both counts."""
    trial = ("--source", "demo:en", "--batch", 8, "--frames", sizes.trial_frames, "--reports", 10, "--rounds", 2)
    return _module("trial_parts", "--device", sizes.device, *trial)


def _full_parts(sizes: Sizes) -> list[str]:
    trial = ("--preset", "full", "--frames", sizes.full_frames, "--reports", 2, "--rounds", 2)
    return _module("trial_parts", "--device", sizes.device, *trial)


def _epochs(sizes: Sizes) -> list[str]:
    clips, batch = sizes.lengths
    preset = "full" if sizes.device == "cuda" else "tiny"
    return _module("epochs", "--device", sizes.device, "--preset", preset, "--clips", clips, "--batch", batch)


def _speech(sizes: Sizes) -> list[str]:
    return _module("evaluation_cost", "--device", sizes.device, "--frames", sizes.trial_frames)


def _study(sizes: Sizes) -> list[str]:
    trials, jobs = sizes.study
    frames = ("--frames", sizes.trial_frames)
    return _module("study_time", "--run", trials, "--jobs", jobs, "--device", sizes.device, *frames)


def _gap(sizes: Sizes) -> list[str]:
    trials = ("--trials", 2, "--frames", sizes.gap_frames)
    return _module("trial_gap", "--without-tuner", "--device", sizes.device, *trials)


def _say(sizes: Sizes) -> list[str]:
    return _module("say_speed", "--device", sizes.device, "--rounds", 1)


def _read_tests(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    cases = list(ElementTree.parse(path).iter("testcase"))
    failed = [
        case.get("name", "") for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = [case.get("name", "") for case in cases if case.find("skipped") is not None]
    reasons = [f"{name} failed" for name in failed]
    real = "test_cuda_graphs_equal_running_on_the_cpu"
    if sizes.device == "cuda" and real in skipped:
        reasons.append(f"{real} was skipped: pytest found no GPU")
    passed = len(cases) - len(failed) - len(skipped)
    return {"passed": passed, "failed": len(failed), "skipped": len(skipped)}, reasons


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_parity(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    rows = _json(path)["rows"]
    figures = {name: max(row[name] for row in rows) for name in ("outputs", "gradients", "graphs kept")}
    reasons = [
        f"{name} differ by {figures[name]:.1e}" for name in ("outputs", "gradients") if not figures[name] < EXACT
    ]
    expected = 2 * len({row["steps x batch x tokens"] for row in rows})
    if figures["graphs kept"] != expected:
        reasons.append(f"{figures['graphs kept']} of {expected} sizes were captured")
    return figures, reasons


def _read_kernels(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    rows = _json(path)["rows"]
    figures = {f"{row['case']} by {row['by']}": row.get("frames/s") for row in rows if row["what"] == "time"}
    figures |= {f"trial, {row['graphs']} as graphs": row["frames/s"] for row in rows if row["what"] == "trial"}
    reasons = [f"{row['what']}: {row.get('error', 'wrong')}" for row in rows if row.get("ok") is False]
    if not any(row["what"] == "graph" for row in rows):
        reasons.append("updates with and without graphs were not compared")
    return figures, reasons


def _read_training(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    found = _json(path)
    figures, config = found["training"], found["options"]
    reasons = []
    aligns = config["preset"] == "tiny" or sizes.full_aligns
    if aligns and not figures["alignment"] >= ALIGNED:
        reasons.append(f"alignment {figures['alignment']:.2f}, below {ALIGNED}")
    if figures["corrections"]:
        reasons.append(f"{figures['corrections']} updates were not finite")
    if figures["sizes without a graph"]:
        reasons.append(f"{figures['sizes without a graph']} sizes could not be captured")
    return {name: figures[name] for name in ("frames/s", "loss", "alignment", "free-running")}, reasons


def _read_outside(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    parts = summary(_json(path)["seconds"]["here"])
    shown = {
        "import torch": ("start", "import torch"),
        "warm up": ("start", "warm-up, as on standby"),
        "first update": ("training", "first update"),
        "updates 2 to 10": ("training", "updates 2 to 10"),
        "first validation": ("first validation", "all"),
        "later validation": ("later validation", "all"),
        "end": ("end", "all"),
        "share of the trial": ("trial", "validations and end, share"),
    }
    return {name: parts[key] for name, key in shown.items()}, []


def _read_throughput(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    return {f"{row['case']} {row['variant']}": row["frames/s"] for row in _json(path)["rows"]}, []


def _read_floor(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    (row,) = _json(path)["floors"]
    return {name: row[name] for name in ("case", "floor frames/s", "ours frames/s", "share of the floor")}, []


def _read_packing(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    rows = _json(path)["rows"]
    figures = {f"{row['at once']} at once, frames/s": row["frames/s"] for row in rows}
    return figures | {"largest memory MB": max(row["largest memory MB"] for row in rows)}, []


def _read_table(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    found = _json(path)
    failed = sum(row["us"] == float("inf") for row in found["rows"])
    reasons = [] if failed < len(found["rows"]) else ["no kernel runs"]
    changed = sum(len(size["kernels"]) for size in found["entry"]["sizes"])
    return {
        "settings": len(found["rows"]),
        "refused": failed,
        "kernels with others than the defaults": changed,
    }, reasons


def _read_epochs(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    found = _json(path)
    last = found["epochs"][-1]
    rest = ("sizes", "graphs", "largest memory MB", "hours of the recipe")
    return {"frames/s": last["frames/s"], "padding": last["padding"], **{name: found[name] for name in rest}}, []


def _read_speech(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    return dict(_json(path)["evaluations"]), []


def _read_study(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    figures = _json(path)["figures"]
    trials = sum(count for name, count in figures.items() if name.startswith("trials "))
    reasons = [] if trials == sizes.study[0] else [f"{trials:.0f} of {sizes.study[0]} trials"]
    if failed := figures.get("trials FAIL"):
        reasons.append(f"{failed:.0f} trials failed")
    return figures, reasons


def _read_gap(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    return {row["trainer"]: row["until updated, median s"] for row in _json(path)["gaps"]}, []


def _read_say(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
    rows = _json(path)["real-time factors"]
    return {row["what"]: row["ours"] for row in rows if row["what"].startswith(("decoder", "say"))}, []


def command_of(stage: Stage, sizes: Sizes, figures: Path) -> list[str]:
    return [sys.executable, *stage.command(sizes), f"{stage.file_option}{figures}"]
