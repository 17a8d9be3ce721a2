"""Twenty voices of different quality with their verdicts: what one sees in their mels, and what the figures say.

    python -m benchmarks.voices FILE [--work FOLDER] [--count 20] [--clip 5] [--picture FILE] [--json FILE]

Takes voices from the recorded FILE, evenly spaced by their distance from the recordings, loads their weights, which
`benchmarks.record_curves` kept in `--work`, and draws one sentence of each beside the recording.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.record_curves import folder_name, recorded, weights_file
from benchmarks.report import ROOT, table, write_results
from trainer.config import TrainerConfig
from trainer.data.features import Features, open_features
from trainer.evaluation.distance import Array
from trainer.evaluation.speech import speak
from trainer.evaluation.verdict import heard, likeness
from trainer.model import Tacotron2

CPU = torch.device("cpu")
SHOWN = {
    "MCD": "free_running_mcd",
    "recognised": "free_running_recognised",
    "variance": "free_running_variance",
    "alignment": "free_running_alignment",
    "failed": "free_running_failed",
    "rank": "free_running_rank",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="written by benchmarks.record_curves")
    parser.add_argument("--work", type=Path, default=ROOT / "workspace" / "curves", help="its folder of weights")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--clip", type=int, default=5, help="the validation clip to draw, by number")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "verdicts.png")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    voices = chosen(recorded(options.file), options.count)
    found = [row_of(voice) for voice in voices]
    print(table(found))
    draw(voices, options)
    if options.json:
        write_results(options.json, {"voices": found}, vars(options))


def chosen(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Reports, with what they are of, from the worst to the best; those at the same distance only once."""
    reports = [row | {"report": report} for row in rows for report in row["reports"]]
    scored = sorted(
        (voice for voice in reports if voice["report"].get("free_running_mcd") is not None),
        key=lambda voice: -float(voice["report"]["free_running_mcd"]),
    )
    distances = np.array([voice["report"]["free_running_mcd"] for voice in scored])
    wanted = np.linspace(distances[0], distances[-1], count)
    nearest = dict.fromkeys(int(np.abs(distances - at).argmin()) for at in wanted)
    return [scored[number] for number in nearest]


def row_of(voice: Mapping[str, Any]) -> dict[str, Any]:
    report = voice["report"]
    return {
        "setting": voice["setting"],
        "frames": report["frames"],
        **{name: report[key] for name, key in SHOWN.items()},
        "likeness": likeness(report),
        "verdict": str(heard(report)),
    }


def draw(voices: list[dict[str, Any]], options: argparse.Namespace) -> None:
    figure = Figure(figsize=(10, 1.3 * (len(voices) + 1)), layout="constrained")
    axes = iter(figure.subplots(len(voices) + 1, 1))
    features: Features | None = None
    for voice in voices:
        folder = options.work / folder_name(voice)
        config = TrainerConfig.load(folder / "config.json")
        features = features or open_features(config)
        clip = features.validation[options.clip]
        if voice is voices[0]:
            panel(next(axes), np.asarray(features.mel(clip), np.float32), f"recorded: {features.text(clip)}")
        mel = spoken(config, weights_file(folder, voice["report"]["report"]), features, clip)
        row = row_of(voice)
        words = f"{row['verdict']}: MCD {row['MCD']:.1f} dB, {row['recognised']:.0%} recognised"
        panel(next(axes), mel, f"{words}, {row['failed']:.0%} fail")
    figure.savefig(options.picture, dpi=80)


def spoken(config: TrainerConfig, weights: Path, features: Features, clip: int) -> Array:
    model = Tacotron2(config.model, len(features.symbols), config.audio.n_mels)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return speak(model, features, [clip], config.audio.log_floor, CPU).mel(0)


def panel(axes: Any, mel: Array, title: str) -> None:
    axes.imshow(mel.T, origin="lower", aspect="auto", vmin=-11.5, vmax=1)
    axes.set_title(title, fontsize=8, loc="left")
    axes.set_axis_off()


if __name__ == "__main__":
    main()
