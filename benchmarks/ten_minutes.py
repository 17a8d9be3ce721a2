"""How well a voice speaks after ten minutes of training on this machine, on sentences that it was not trained on.

    python -m benchmarks.ten_minutes [--minutes 10] [--out FOLDER] [--json FILE]

Trains the tiny preset on the embedded corpus; a short run shows how many frames fit into the time. At the end the best
model speaks all validation sentences without a teacher. Writes the pictures of one of them and its sample by
Griffin-Lim to `--out`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, table, write_results
from trainer.config import TrainerConfig
from trainer.dotted import merge
from trainer.protocol import EventKind, RunDir, all_events

SETTINGS: dict[str, Any] = {
    "preset": "tiny",
    "seed": 7,
    "corpus": {"source": "demo:en", "validation_share": 0.1},
    "optimizer": {"lr": 2e-3},
    "schedule": {"kind": "exponential", "final_factor": 0.02, "warmup_updates": 200},
    "guided_attention": {"weight": 10.0},
    "model": {"decoder_dropout": 0.1, "attention_dropout": 0.1},
    "budget": {"reports": 20},
    "validation": {"free_running_utterances": 1000},  # all
    "logging": {"tensorboard": False},
}
TRIAL_FRAMES = 300_000  # of the short run
SHOWN = ("alignments/free-running.png", "alignments/free-running-mel.png", "samples/sample-middle.wav")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, help="copy pictures and the sample there")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short = train(folder / "short", TRIAL_FRAMES)
        frames = round(TRIAL_FRAMES / last(short, EventKind.FINISHED)["seconds"] * 60 * options.minutes)
        run = train(folder / "voice", frames)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            for shown in SHOWN:
                shutil.copy(run.path / shown, options.out)
        finished, spoken = last(run, EventKind.FINISHED), last(run, EventKind.FREE_RUNNING)
        courses = [event.data for event in all_events(run.events) if event.kind is EventKind.VALIDATION]
    figures = {
        "minutes": finished["seconds"] / 60,
        "frames": frames,
        "validation loss": finished["best"]["loss"],
        **{f"free-running {name}": value for name, value in spoken.items()},
    }
    print(table([{"": name, "value": float(value)} for name, value in figures.items()]))
    if options.json:
        write_results(options.json, {"figures": figures, "validations": courses}, vars(options))


def train(folder: Path, frames: int) -> RunDir:
    run = RunDir(folder)
    run.create()
    own = {"budget": {"frames": frames}, "paths": {"run": str(folder), "cache": str(folder.parent / "cache")}}
    run.config.write_text(TrainerConfig.from_mapping(merge(SETTINGS, own)).to_json(), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "trainer", "--config", str(run.config)], cwd=ROOT, check=True)
    return run


def last(run: RunDir, kind: EventKind) -> Mapping[str, Any]:
    return [event.data for event in all_events(run.events) if event.kind is kind][-1]


if __name__ == "__main__":
    main()
