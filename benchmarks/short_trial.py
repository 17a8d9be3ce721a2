"""One trial on a corpus of tones: whether attention aligns, whether updates were skipped, and how fast it trains.

    python -m benchmarks.short_trial [--device cuda] [--preset tiny] [--frames 300000] [--json FILE]

Starts the trainer as a process, as the tuner does, and reads its events. Needs only torch, numpy and PyYAML.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, table, write_results
from benchmarks.tones import SETTINGS, write_tones
from trainer.config import TrainerConfig
from trainer.dotted import merge
from trainer.protocol import Event, EventKind, RunDir, all_events

CLIPS = 1000
NO_GRAPH = "no CUDA graph"  # in the trainer's log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--preset", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--reduction", type=int, help="default: the preset's")
    parser.add_argument("--frames", type=int, default=300_000, help="of the trial")
    parser.add_argument("--reports", type=int, default=5, help="validations")
    parser.add_argument("--every", type=int, default=10, help="updates from one report of progress to the next")
    parser.add_argument("--kernels", choices=["auto", "fused", "torch"], default="auto")
    parser.add_argument("--graphs", choices=["updates", "loops"], default="updates", help="what is a graph on CUDA")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clips", type=int, default=CLIPS, help="of the corpus")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = train(Path(name), options)
        found = figures(all_events(run.events), run)
    print(table([found]))
    if options.json:
        write_results(options.json, {"training": found}, vars(options))


def settings_of(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Without what needs libraries for audio and pictures."""
    settings: dict[str, Any] = {
        "preset": options.preset,
        "corpus": {"source": str(folder / "corpus")},
        "text": {"language": "en"},
        "budget": {"frames": options.frames, "reports": options.reports},
        "seed": options.seed,
        "device": {"name": options.device, "kernels": options.kernels},
        "logging": {
            "progress_every_updates": options.every,
            "tensorboard": False,
            "pictures": False,
            "samples": False,
        },
        "paths": {"cache": str(folder / "cache"), "features": str(folder / "features")},
    }
    if options.reduction:
        settings["model"] = {"reduction": options.reduction}
    return merge(settings, SETTINGS)


def train(folder: Path, options: argparse.Namespace) -> RunDir:
    """-> the directory of the finished run."""
    run = RunDir(folder / "trial")
    run.create()
    settings = merge(settings_of(folder, options), {"paths": {"run": str(run.path)}})
    write_tones(TrainerConfig.from_mapping(settings), options.clips)
    run.config.write_text(json.dumps(settings), encoding="utf-8")
    trainer = {"updates": "trainer", "loops": "benchmarks.loop_graphs"}[options.graphs]
    command = [sys.executable, "-m", trainer, "--config", str(run.config)]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"the trainer ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return run


def of(events: Sequence[Event], kind: EventKind) -> list[Event]:
    return [event for event in events if event.kind is kind]


def figures(events: Sequence[Event], run: RunDir) -> dict[str, Any]:
    validations, progress = of(events, EventKind.VALIDATION), of(events, EventKind.PROGRESS)
    spoken = of(events, EventKind.FREE_RUNNING)
    rates = [event.data["frames_per_second"] for event in progress]
    if not rates:
        sys.exit(f"the trial ended after {events[-1].update} updates without a report of progress; lower --every")
    return {
        "frames": events[-1].frames,
        "updates": events[-1].update,
        "frames/s": statistics.median(rates[len(rates) // 2 :]),
        "kernels": of(events, EventKind.FINISHED)[-1].data["kernels"],
        "training loss": statistics.fmean(event.data["loss"] for event in progress[-5:]),
        "loss": validations[-1].data["loss"],
        "alignment": validations[-1].data["alignment"],
        "free-running": spoken[-1].data["alignment"] if spoken else None,
        "cut or endless": spoken[-1].data["reached_limit"] + spoken[-1].data["stopped_early"] if spoken else None,
        "corrections": len(of(events, EventKind.CORRECTION)),
        "sizes without a graph": run.log.read_text(encoding="utf-8").count(NO_GRAPH),
        "memory MB": round(max(event.data["memory_bytes"] for event in progress) / 1e6),
    }


if __name__ == "__main__":
    main()
