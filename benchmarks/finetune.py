"""Fine-tuning a voice to another speaker with a minute or two of speech, against training on the same from scratch.

    python -m benchmarks.finetune [--device cuda] [--work FOLDER] [--json FILE]
    python -m benchmarks.finetune --base VOICE.pt --corpus FOLDER [--lr 1e-3] [--guided 0.05] [--keep-on]

Trains a tiny voice on 1,000 sentences of the embedded English corpus. From it, once for each `--lr`, a voice of another
speaker is made with 60 sentences that the first one did not say (preset voice), and one from scratch with the settings
of the first. Shown is when the verdict on 15 further sentences of that speaker is "intelligible". Fine-tuning stops
there unless it is told to keep on; training from scratch goes on to the end of its budget. After a kill the same
command goes on, but its minutes then have the pause in them.

With `--corpus`, recordings of a person are learned instead, and a fifth of them judge.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, table, write_results
from trainer.config import TrainerConfig
from trainer.data.demo.corpus import demo_corpus
from trainer.data.features import open_features
from trainer.dotted import merge
from trainer.evaluation.verdict import Heard, heard
from trainer.loop import train
from trainer.protocol import Event, EventKind, EventReader, RunDir, all_events

# The first setting that `smart-tuner voice` tries without a GPU.
SCRATCH: dict[str, Any] = {
    "preset": "tiny",
    "optimizer": {"lr": 1.5e-3, "gradient_clip": 4.4},
    "batch": {"size": 8},
    "guided_attention": {"weight": 3.3, "sigma": 0.21},
}
FINETUNE: dict[str, Any] = {"preset": "voice", "optimizer": {"gradient_clip": 4.4}}
COMMON: dict[str, Any] = {
    "seed": 7,
    "logging": {"tensorboard": False, "pictures": False, "samples": False},
}
SHOWN = ("mcd", "recognised", "variance", "alignment", "failed")
ENOUGH = (Heard.INTELLIGIBLE, Heard.GOOD)


def main() -> None:
    options = parsed()
    if options.one:
        train_one(options.one, options.until_intelligible)
        return
    corpus = recordings(options.corpus) if options.corpus else other_speaker(options)
    rows = []
    if options.base is None:
        base = run(options, "base", SCRATCH, options.base_frames, {"source": f"demo:en:{options.base_sentences}"})
        rows.append(row_of("base", base))
    voice = {"warm_start": str((options.base or base.best_checkpoint).resolve())}
    until = [] if options.keep_on else ["--until-intelligible"]
    for lr, guided in product(options.lr, options.guided):
        settings = merge(FINETUNE, voice | {"optimizer": {"lr": lr}, "guided_attention": {"weight": guided}})
        name = f"fine-tuned, lr {lr:g}, guided attention {guided:g}"
        rows.append(row_of(name, run(options, f"lr-{lr:g}-{guided:g}", settings, options.frames, corpus, *until)))
    if options.scratch_frames:
        scratch = run(options, "scratch", SCRATCH, options.scratch_frames, corpus)
        rows.append(row_of("from scratch", scratch))
    print(table([{key: value for key, value in row.items() if key != "reports"} for row in rows]))
    if options.json:
        write_results(options.json, {"runs": rows}, vars(options))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="recordings of a person, instead of another speaker")
    parser.add_argument("--speaker", default="f3", help="a variant of espeak-ng's voice")
    parser.add_argument("--sentences", type=int, default=60, help="of that speaker, to train on")
    parser.add_argument("--held-out", type=int, default=15, help="of that speaker, to judge by")
    parser.add_argument("--base", type=Path, metavar="VOICE.pt", help="this voice, in place of one that is trained")
    parser.add_argument("--base-sentences", type=int, default=1000)
    parser.add_argument("--base-frames", type=int, default=6_000_000)
    parser.add_argument("--frames", type=int, default=600_000, help="at most, for fine-tuning")
    parser.add_argument("--scratch-frames", type=int, default=2_400_000, help="0: nothing from scratch")
    parser.add_argument("--every", type=int, default=40_000, help="frames between two verdicts")
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3, 3e-4])
    parser.add_argument("--guided", type=float, nargs="+", default=[0.05], help="weights of guided attention")
    parser.add_argument("--keep-on", action="store_true", help="do not stop where it is intelligible")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--work", type=Path, default=ROOT / "workspace" / "finetune", help="folder of corpora and runs")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # train in this folder, in this process
    parser.add_argument("--until-intelligible", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def recordings(folder: Path) -> dict[str, Any]:
    return {"source": str(folder.resolve()), "validation_share": 0.2}


def other_speaker(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of a corpus of sentences that follow those of the base."""
    first, last = options.base_sentences, options.base_sentences + options.sentences + options.held_out
    spoken = demo_corpus(f"demo:en:{last}:{options.speaker}", options.work / "cache")
    folder = options.work / f"speaker-{options.speaker}-{options.sentences}"
    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    lines = (spoken / "metadata.csv").read_text(encoding="utf-8").splitlines()[first:]
    for line in lines:
        name = f"{line.partition('|')[0]}.wav"
        shutil.copy2(spoken / "wavs" / name, folder / "wavs" / name)
    for name, part in (("train.csv", lines[: options.sentences]), ("held-out.csv", lines[options.sentences :])):
        texts = [line.split("|") for line in part]
        listed = "".join(f"wavs/{name}.wav|{text}\n" for name, text, *_ in texts)
        (folder / name).write_text(listed, encoding="utf-8")
    return {"source": str(folder / "train.csv"), "validation_source": str(folder / "held-out.csv")}


def run(
    options: argparse.Namespace,
    name: str,
    settings: Mapping[str, Any],
    frames: int,
    corpus: Mapping[str, Any],
    *more: str,
) -> RunDir:
    """Train, or go on, in a process of its own."""
    run_dir = RunDir(options.work / name)
    run_dir.create()
    own = {
        "corpus": corpus,
        "text": {"language": "en"},
        "device": {"name": options.device},
        "budget": {"frames": frames, "reports": max(1, frames // options.every)},
        "validation": {"free_running_utterances": options.held_out, "free_running_share": 1.0},  # a verdict at each
        "paths": {"run": str(run_dir.path), "cache": str(options.work / "cache")},
    }
    config = TrainerConfig.from_mapping(merge(merge(COMMON, settings), own), name)
    run_dir.config.write_text(config.to_json(), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.finetune", "--one", str(run_dir.path), *more]
    with run_dir.log.open("a", encoding="utf-8") as log:
        subprocess.run(command, check=True, cwd=ROOT, stdout=log, stderr=log)
    return run_dir


def train_one(folder: Path, until_intelligible: bool) -> None:
    config = TrainerConfig.load(folder / "config.json")
    stop_reason = enough(RunDir(folder)) if until_intelligible else lambda: None
    train(config, open_features(config), stop_reason)


def enough(run_dir: RunDir) -> Callable[[], str | None]:
    """Why to stop: a report is intelligible."""
    reader = EventReader(run_dir.events)

    def reason() -> str | None:
        new = [event for event in reader.read() if event.kind is EventKind.VALIDATION]
        return "intelligible" if any(heard(event.data) in ENOUGH for event in new) else None

    return reason


def reports_of(run_dir: RunDir) -> list[dict[str, Any]]:
    """Of each validation: frames, minutes since the start, figures and verdict."""
    events = list(all_events(run_dir.events))
    return [report(event, events) for event in events if event.kind is EventKind.VALIDATION]


def report(event: Event, events: Sequence[Event]) -> dict[str, Any]:
    began = next(each.time for each in events if each.kind is EventKind.STARTED)
    return {
        "frames": event.frames,
        "minutes": (event.time - began) / 60,
        "loss": event.data["loss"],
        **{name: event.data.get(f"free_running_{name}") for name in SHOWN},
        "verdict": heard(event.data),
    }


def row_of(name: str, run_dir: RunDir) -> dict[str, Any]:
    reports = reports_of(run_dir)
    first = next((each for each in reports if each["verdict"] in ENOUGH), None)
    started = next(event for event in all_events(run_dir.events) if event.kind is EventKind.STARTED)
    last = reports[-1]
    return {
        "": name,
        "alignment at start": started.data.get("start", {}).get("alignment"),
        "frames until intelligible": first["frames"] if first else "never",
        "minutes": first["minutes"] if first else None,
        "frames in all": last["frames"],
        **{key: last[key] for key in ("verdict", *SHOWN)},
        "reports": reports,
    }


if __name__ == "__main__":
    main()
