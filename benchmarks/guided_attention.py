"""Why trials are constrained and pruned by attention: the same data, seed and parameters, with guided attention on and
off. Without it the loss is lower, and the voice cannot speak.

    python -m benchmarks.guided_attention --curves tests/smart_tuner/data/guided_attention_off.json \
        --picture docs/images/alignment.png

Takes about three minutes on two cores. Prints both curves; options name the files to write.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from trainer.dotted import merge
from trainer.protocol import Event, EventKind, RunDir, all_events

SETTINGS: dict[str, Any] = {
    "preset": "tiny",
    "seed": 7,
    "optimizer": {"lr": 4e-3},
    "batch": {"size": 8},
    "budget": {"frames": 600_000, "reports": 10},
    "device": {"name": "cpu", "threads": 1},
    "logging": {"tensorboard": False, "samples": False},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "guided": {"guided_attention": {"enabled": True, "weight": 10.0}},
    "unguided": {"guided_attention": {"enabled": False}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, help="write the curves there, as JSON")
    parser.add_argument("--picture", type=Path, help="write the last alignment plots there, side by side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = train(Path(folder))
        curves = {name: curve(run) for name, run in runs.items()}
        show(curves)
        if options.curves:
            settings = {"settings": SETTINGS, "variants": VARIANTS}
            options.curves.write_text(json.dumps({**curves, **settings}, indent=1) + "\n", encoding="utf-8")
        if options.picture:
            side_by_side([run.alignments / "free-running.png" for run in runs.values()], options.picture)


def train(folder: Path) -> dict[str, RunDir]:
    """Both at the same time, each in its own process."""
    runs = {}
    processes = []
    for name, variant in VARIANTS.items():
        run = RunDir(folder / name)
        paths = {"paths": {"run": str(run.path), "cache": str(folder / "cache")}}
        run.create()
        run.config.write_text(json.dumps(merge(merge(SETTINGS, variant), paths)), encoding="utf-8")
        processes.append(subprocess.Popen([sys.executable, "-m", "trainer", "--config", str(run.config)]))
        runs[name] = run
    for process in processes:
        if process.wait() != 0:
            sys.exit(f"the trainer failed with exit code {process.returncode}")
    return runs


def curve(run: RunDir) -> list[dict[str, float]]:
    events: list[Event] = all_events(run.events)
    validations = [event.data for event in events if event.kind is EventKind.VALIDATION]
    return [{key: round(data[key], 4) for key in ("index", "loss", "alignment")} for data in validations]


def show(curves: dict[str, list[dict[str, float]]]) -> None:
    print("budget   guided: loss  alignment   unguided: loss  alignment")
    for on, off in zip(curves["guided"], curves["unguided"], strict=True):
        share = on["index"] / SETTINGS["budget"]["reports"]
        print(f"{share:6.0%}  {on['loss']:13.3f}  {on['alignment']:9.2f}  {off['loss']:15.3f}  {off['alignment']:9.2f}")


def side_by_side(pictures: list[Path], out: Path) -> None:
    from matplotlib import image
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.9), layout="constrained")
    for i, (name, path) in enumerate(zip(VARIANTS, pictures, strict=True)):
        axes = figure.add_subplot(1, len(pictures), i + 1)
        axes.imshow(image.imread(path))
        axes.set_title(f"{name} attention" if name == "guided" else "without guided attention")
        axes.axis("off")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main()
