"""Twenty voices of different quality with their verdicts: what one sees in their mels, and what the figures say.

    python -m benchmarks.voices FILE [--work FOLDER] [--count 20] [--listen 30] [--picture FILE] [--json FILE]

Takes voices from the recorded FILE, evenly spaced by their distance from the recordings, loads their weights, which
`benchmarks.record_curves` kept in `--work`, and draws one sentence of each beside the recording. With `--listen`
pocketsphinx (extra `listener`) hears so many sentences of each English voice, and the recordings of the same sentences,
all after Griffin-Lim.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.record_curves import folder_name, recorded, weights_file
from benchmarks.report import ROOT, table, write_results
from trainer.audio import griffin_lim
from trainer.config import AudioConfig, TrainerConfig
from trainer.data.features import Features, open_features
from trainer.evaluation.distance import Array
from trainer.evaluation.listener import Listener
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
    parser.add_argument("--listen", type=int, default=0, metavar="SENTENCES", help="that the listener hears")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    voices = chosen(recorded(options.file), options.count)
    found = [row_of(voice) for voice in voices]
    if options.listen:
        found = [row | words for row, words in zip(found, listened(voices, options), strict=True)]
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


def listened(voices: list[dict[str, Any]], options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """The share of words that the listener misheard, of each voice and of the recordings."""
    listener = Listener()
    of_recordings: float | None = None
    for voice in voices:
        folder = options.work / folder_name(voice)
        config = TrainerConfig.load(folder / "config.json")
        features = open_features(config)
        clips = list(features.validation[: options.listen])
        texts = [features.text(clip) for clip in clips]
        if of_recordings is None:
            mels = [features.mel(clip).astype(np.float32) for clip in clips]
            of_recordings = words_wrong(listener, mels, texts, config.audio)
        speech = speak(model_of(voice, config, features, options), features, clips, config.audio.log_floor, CPU)
        mels = [speech.mel(speech.batch.indices.index(clip)) for clip in clips]
        yield {"words wrong": words_wrong(listener, mels, texts, config.audio), "of recordings": of_recordings}


def words_wrong(listener: Listener, mels: Sequence[Array], texts: Sequence[str], audio: AudioConfig) -> float:
    errors = [
        listener.errors(griffin_lim(mel, audio), audio.sample_rate, text) for mel, text in zip(mels, texts, strict=True)
    ]
    return sum(e.wrong for e in errors if e) / sum(e.words for e in errors if e)


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
        model = model_of(voice, config, features, options)
        mel = speak(model, features, [clip], config.audio.log_floor, CPU).mel(0)
        row = row_of(voice)
        words = f"{row['verdict']}: MCD {row['MCD']:.1f} dB, {row['recognised']:.0%} recognised"
        panel(next(axes), mel, f"{words}, {row['failed']:.0%} fail")
    image = BytesIO()
    figure.savefig(image, dpi=80)
    Image.open(image).quantize(128).save(options.picture, optimize=True)  # a third of the size


def model_of(
    voice: Mapping[str, Any], config: TrainerConfig, features: Features, options: argparse.Namespace
) -> Tacotron2:
    model = Tacotron2(config.model, len(features.symbols), config.audio.n_mels)
    weights = weights_file(options.work / folder_name(voice), voice["report"]["report"])
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model


def panel(axes: Any, mel: Array, title: str) -> None:
    axes.imshow(mel.T, origin="lower", aspect="auto", vmin=-11.5, vmax=1)
    axes.set_title(title, fontsize=8, loc="left")
    axes.set_axis_off()


if __name__ == "__main__":
    main()
