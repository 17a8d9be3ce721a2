"""What more sentences bring: voices of the embedded English corpus in several sizes, trained for the same frames.

    python -m benchmarks.more_sentences [--sentences 300 1000 3000] [--frames 5000000] [--device cuda] [--json FILE]

Each voice is trained with the first setting and the course of `smart-tuner voice`; then it says ten sentences that are
in no list (`benchmarks.ten_sentences`). Rank: of the own recording among those of the corpus and the ten. `--preset
full` trains the full model. After a kill the same command goes on. Needs torch, numpy, PyYAML and espeakng-loader.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ten_sentences
from benchmarks.finetune import SCRATCH
from benchmarks.report import ROOT, table, write_results
from trainer.config import TrainerConfig
from trainer.dotted import merge
from trainer.protocol import EventKind, RunDir, all_events

COURSE: dict[str, Any] = {  # as smart_tuner.training.definition has it
    "schedule": {"kind": "wsd", "final_factor": 0.03},
    "averaging": {"share": 0.03},
    "corrections": {"kind": "all"},
    "validation": {"free_running_utterances": 16, "free_running_share": 0.1},
    "logging": {"tensorboard": False, "pictures": False, "samples": False},
}
FULL: dict[str, Any] = {  # the first setting of `smart-tuner voice` with a GPU
    "preset": "full",
    "model": {"reduction": 2},
    "optimizer": {"lr": 1e-3, "gradient_clip": 1.0},
    "batch": {"size": 32},
    "guided_attention": {"weight": 10.0, "sigma": 0.3},
}
SETTINGS = {"tiny": SCRATCH, "full": FULL}


def main() -> None:
    options = parsed()
    rows = []
    for count in options.sentences:
        run_dir = train(options, count)
        rows.append(row_of(options, count, run_dir))
        print(table([shown(row) for row in rows]), flush=True)
    if options.json:
        write_results(options.json, {"voices": rows}, vars(options))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--preset", choices=list(SETTINGS), default="tiny")
    parser.add_argument("--frames", type=int, default=5_000_000, help="of each voice")
    parser.add_argument("--reports", type=int, default=40)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--work", type=Path, default=ROOT / "workspace" / "more-sentences", help="corpora and runs")
    parser.add_argument("--mels", type=Path, help="folder for the mels of the ten sentences, as NumPy files")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args()


def train(options: argparse.Namespace, count: int) -> RunDir:
    """Train, or go on, in a process of its own."""
    run_dir = RunDir(options.work / f"{options.preset}-{count}")
    run_dir.create()
    own = {
        "seed": 7,
        "corpus": {"source": f"demo:en:{count}"},
        "text": {"language": "en"},
        "budget": {"frames": options.frames, "reports": options.reports},
        "device": {"name": options.device},
        "paths": {"run": str(run_dir.path), "cache": str(options.work / "cache")},
    }
    settings = merge(merge(SETTINGS[options.preset], COURSE), own)
    run_dir.config.write_text(TrainerConfig.from_mapping(settings, "more_sentences").to_json(), encoding="utf-8")
    with run_dir.log.open("a", encoding="utf-8") as log:
        command = [sys.executable, "-m", "trainer", "--config", str(run_dir.config)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=log, stderr=log)
    return run_dir


def row_of(options: argparse.Namespace, count: int, run_dir: RunDir) -> dict[str, Any]:
    """How the voice was trained, and how it says the ten sentences."""
    events = list(all_events(run_dir.events))
    validations = [event for event in events if event.kind is EventKind.VALIDATION]
    began = time.perf_counter()
    spoken = ten_sentences.spoken_by(run_dir.best_checkpoint, options.work / f"ten-{options.preset}-{count}")
    if options.mels:
        options.mels.mkdir(parents=True, exist_ok=True)
        mels = [spoken.speech.mel(row) for row in range(len(spoken.rows))]
        np.savez_compressed(options.mels / f"{options.preset}-{count}.npz", *mels)
    return {
        "sentences": count,
        "frames": events[-1].frames,
        "minutes": (events[-1].time - events[0].time) / 60,
        "held-out MCD": min(event.data.get("free_running_mcd", float("inf")) for event in validations),
        "seconds of the ten": time.perf_counter() - began,
        "ten": spoken.rows,
    }


def shown(row: dict[str, Any]) -> dict[str, Any]:
    ten = row["ten"]
    means = {name: float(np.mean([each[name] for each in ten])) for name in ("MCD", "ceiling", "hum")}
    return {
        **{name: row[name] for name in ("sentences", "frames", "minutes", "held-out MCD")},
        "end": sum(each["ends"] for each in ten),
        "skip or repeat": sum(bool(each["skipped"] or each["repeats"]) for each in ten),
        "least alignment": min(each["alignment"] for each in ten),
        **{name: round(value, 2) for name, value in means.items()},
        "nearest to its own": sum(each["rank"] == 1 for each in ten),
        "recognised": round(float(np.mean([each["recognised"] for each in ten])), 3),
        "variance": round(float(np.mean([each["variance"] for each in ten])), 3),
    }


if __name__ == "__main__":
    main()
