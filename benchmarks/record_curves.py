"""Record how settings drawn at random from a study's space train, without pruning, and what their voices say.

    python -m benchmarks.record_curves FILE [--study FILE.yaml] [--corpus demo:en:360] [--settings 40] [--times 8]

Trains each setting for `--times` the study's budget, with reports at the same frames, and then evaluates the weights of
each report on sentences that were not trained on. FILE gets one line of JSON per setting, with what it was made with;
`recorded` reads it. An interrupted command goes on where it was: checkpoints and weights are kept in `--work`.

On a machine that has torch, numpy and PyYAML alone, in two steps: `--draw` writes the settings and prepares the
features here, `--like` and `--features` train with them there.

    python -m benchmarks.record_curves settings.jsonl --draw --settings 64 --corpus demo:en:360   # prints FOLDER
    python -m benchmarks.record_curves FILE --like settings.jsonl --features FOLDER --corpus demo:en:360 --sentences 8

`--sentences 8` speaks as many sentences at each report as a trial does, and all of them once, at the end. `--device
cuda --workers 6` trains six settings at once on one GPU; `--device cpu` gives each of as many workers as there are
cores a thread.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from benchmarks.report import ROOT, machine, today
from trainer.config import TrainerConfig
from trainer.data.features import locate_features, open_features
from trainer.device import choose_device
from trainer.dotted import merge, unflatten
from trainer.evaluation.sentences import Recordings, Sentence, measure, summary
from trainer.evaluation.speech import speak
from trainer.files import write_atomically
from trainer.loop import train_on
from trainer.model import Tacotron2
from trainer.protocol import Event, EventKind, RunDir, all_events
from trainer.resuming import open_state

SPACE = ROOT / "benchmarks" / "results" / "curves" / "quickstart.yaml"
DRAW_SEED = 0
VALIDATION_SHARE = 1 / 6
EVALUATED = "evaluated.json"


def main() -> None:
    options = parsed()
    if options.one:
        train_and_evaluate(options.one, options.sentences)
        return
    study = yaml.safe_load(options.study.read_text(encoding="utf-8"))
    settings = chosen_settings(options)
    recorder = Recorder(options, study)
    if options.draw:
        write_settings(options.file, settings)
        print(recorder.prepare(settings[0]))
        return
    done = {folder_name(row) for row in recorded(options.file)}
    wanted = options.only if options.only is not None else range(len(settings))
    missing = [number for number in wanted if folder_name(recorder.begun(number, settings[number])) not in done]
    if missing:
        open_features(recorder.config(settings[missing[0]], options.work))  # once, before processes need them
    with ThreadPoolExecutor(options.workers) as pool:
        for number, row in zip(missing, pool.map(lambda n: recorder.row(n, settings[n]), missing), strict=True):
            with options.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row, separators=(",", ":")) + "\n")
            print(f"{time.strftime('%H:%M:%S')}  setting {number} x {options.times} is recorded", flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="gets one line of JSON per setting")
    parser.add_argument("--study", type=Path, default=SPACE, help="YAML; default: the space of the recorded tables")
    parser.add_argument("--corpus", default="demo:en:360")
    parser.add_argument("--uneven", action="store_true", help="give each clip another rate, pitch and noise")
    parser.add_argument("--fixed", type=json.loads, default={}, help="settings of the trainer, JSON by dotted name")
    parser.add_argument("--features", type=absolute, help="prepared features of the corpus")
    parser.add_argument("--settings", type=int, default=40, help="how many; the first are the enqueued ones")
    parser.add_argument("--only", type=lambda text: [int(part) for part in text.split(",")], help="such as 0,3,7")
    parser.add_argument("--params", type=json.loads, help="record this setting alone, a JSON object by dotted name")
    parser.add_argument("--like", type=Path, help="take the settings of this recorded file instead of drawing them")
    parser.add_argument("--draw", action="store_true", help="write the settings, prepare the features, train nothing")
    parser.add_argument("--sentences", type=int, help="spoken at each report (default: all); all are at the end")
    parser.add_argument("--times", type=int, default=1, help="the study's budget")
    parser.add_argument("--seed", type=int, default=1, help="of the training")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="settings that train at once")
    parser.add_argument("--work", type=absolute, default=ROOT / "workspace" / "curves", help="folder of the weights")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # train in this folder, in this process
    return parser.parse_args()


def absolute(path: str) -> Path:
    """Trainings run in the folder of the project."""
    return Path(path).resolve()


def write_settings(file: Path, settings: Sequence[Mapping[str, Any]]) -> None:
    """As lines that `settings_like` reads."""
    lines = [json.dumps({"setting": number, "params": params}) for number, params in enumerate(settings)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def recorded(file: Path) -> list[dict[str, Any]]:
    """The lines of a file that this command wrote; none where it does not exist."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def chosen_settings(options: argparse.Namespace) -> list[dict[str, Any]]:
    if options.params:
        return [options.params]
    return settings_like(options.like) if options.like else draw(options.study, options.settings)


def settings_like(file: Path) -> list[dict[str, Any]]:
    rows = {row["setting"]: row["params"] for row in recorded(file)}
    return [rows[number] for number in sorted(rows)]


def draw(study: Path, count: int) -> list[dict[str, Any]]:
    """The enqueued settings of a study, and then random ones, always the same."""
    import optuna

    from smart_tuner.space import suggest
    from smart_tuner.spec import load_study

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = load_study(str(study))
    sampler = optuna.samplers.RandomSampler(seed=DRAW_SEED)
    drawn = optuna.create_study(sampler=sampler)
    for params in spec.enqueue:
        drawn.enqueue_trial(dict(params))
    return [suggest(drawn.ask(), spec.search) for _ in range(count)]


class Recorder:
    """Trains and evaluates settings of one study on one corpus."""

    def __init__(self, options: argparse.Namespace, study: Mapping[str, Any]) -> None:
        self._options = options
        self._study = study
        self._source = (
            uneven(options.corpus, options.work) if options.uneven and not options.features else options.corpus
        )

    def begun(self, number: int, params: Mapping[str, Any]) -> dict[str, Any]:
        """The line of setting `number` without what its training gives."""
        o = self._options
        row = {"study": self._study["name"], "corpus": o.corpus, "setting": number, "times": o.times, "seed": o.seed}
        return row | {"made": {"fixed": o.fixed, "uneven": o.uneven}, "params": dict(params)}

    def row(self, number: int, params: Mapping[str, Any]) -> dict[str, Any]:
        """Train setting `number`, or the rest of it, and evaluate it, in a process of its own."""
        o = self._options
        row = self.begun(number, params)
        folder = o.work / folder_name(row)
        config = self.config(params, folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.record_curves", "--one", str(folder)]
        command += [] if o.sentences is None else ["--sentences", str(o.sentences)]
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            subprocess.run(command, check=True, cwd=ROOT, stdout=log, stderr=log)
        results: dict[str, Any] = json.loads((folder / EVALUATED).read_text(encoding="utf-8"))
        made = {"date": today(), **row["made"], "sentences": o.sentences, "workers": o.workers, **machine()}
        return row | {"made": made} | results

    def prepare(self, params: Mapping[str, Any]) -> Path:
        """The folder of the corpus's features, which are computed where they are not there."""
        config = self.config(params, self._options.work)
        open_features(config)
        folder = locate_features(config)
        assert folder is not None, "a cache that cannot be written to"
        return folder

    def config(self, params: Mapping[str, Any], folder: Path) -> TrainerConfig:
        """Only what the study says of the training; nothing is drawn, and no sample is made."""
        o = self._options
        fixed = {**self._study.get("fixed", {}), **o.fixed, **params}
        budget = {name: value * o.times for name, value in self._study["budget"].items()}
        own = {
            "preset": self._study.get("preset", "full"),
            "seed": o.seed,
            "corpus": {"source": self._source, "validation_share": VALIDATION_SHARE},
            "budget": budget,
            "validation": {"free_running_utterances": 0},
            "logging": {"tensorboard": False, "pictures": False, "samples": False, "checkpoint_every_seconds": 86_400},
            "device": {"name": o.device, "threads": max(1, (os.cpu_count() or 1) // o.workers)},
            "paths": {"run": str(folder), "cache": str(o.work / "cache"), "features": str(o.features or "")},
        }
        return TrainerConfig.from_mapping(merge(own, unflatten(fixed)), "curves")


def uneven(corpus: str, work: Path) -> str:
    """The folder of an embedded corpus, made once, of which each clip has another rate, pitch and noise."""
    from benchmarks.spoiled_clips import make_uneven
    from trainer.data.demo.corpus import demo_corpus

    folder = work / f"uneven-{corpus.replace(':', '-')}"
    if not folder.exists():
        work.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=work) as name:
            beside = shutil.copytree(demo_corpus(corpus, work / "cache"), Path(name) / folder.name)
            make_uneven(beside)
            beside.rename(folder)
    return str(folder)


def folder_name(row: Mapping[str, Any]) -> str:
    """Of the checkpoints and weights of a recorded line: another one for each training that differs in anything."""
    corpus = row["corpus"].replace(":", "-")
    made = row.get("made", {})
    told = json.dumps([row["params"], made.get("fixed", {}), made.get("uneven", False)], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return f"{row['study']}-{corpus}-{row['setting']:03d}-x{row['times']}-seed{row['seed']}-{digest}"


def train_and_evaluate(folder: Path, sentences: int | None) -> None:
    config = TrainerConfig.load(folder / "config.json")
    train(config)
    (folder / EVALUATED).write_text(json.dumps(evaluated(config, sentences)), encoding="utf-8")


def weights_file(run: Path, report: int) -> Path:
    return run / f"report-{report:03d}.pt"


def train(config: TrainerConfig) -> None:
    """Train to the end of the budget, and keep the weights of each report."""
    run = Path(config.paths.run)
    state = open_state(config, open_features(config))

    def keep() -> None:
        """The only checkpoints are those of reports: after a kill, too, these are the weights of the last report."""
        path = weights_file(run, state.progress.reported)
        if state.progress.reported and not path.exists():
            with write_atomically(path) as beside:
                torch.save(state.model.state_dict(), beside)

    train_on(state, keep)
    keep()


def evaluated(config: TrainerConfig, sentences: int | None) -> dict[str, Any]:
    """The figures of each report, teacher-forced and free-running, and of the last one all sentences.

    sentences: how many validation clips are spoken at each report; None: all. `voice` sums up all, of the last report.
    """
    run = Path(config.paths.run)
    device = choose_device(config.device)
    features = open_features(config)
    recordings = Recordings(features)
    model = Tacotron2(config.model, len(features.symbols), config.audio.n_mels).to(device)

    def spoken(report: int, clips: Sequence[int]) -> list[Sentence]:
        model.load_state_dict(torch.load(weights_file(run, report), map_location=device, weights_only=True))
        return measure(speak(model, features, clips, config.audio.log_floor, device), features, recordings)

    reports = []
    seconds = seconds_of_reports(all_events(RunDir(run).events))
    validations = {e.data["index"]: e for e in all_events(RunDir(run).events) if e.kind is EventKind.VALIDATION}
    for index, event in sorted(validations.items()):
        figures = {"report": index, "frames": event.frames, "update": event.update, "seconds": seconds[index]}
        figures |= {name: value for name, value in event.data.items() if name not in ("index", "best")}
        if weights_file(run, index).exists():
            heard = summary(spoken(index, features.validation[:sentences]))
            figures |= {f"free_running_{name}": value for name, value in heard.items()}
        reports.append(_rounded(figures))
    at_the_end = spoken(max(validations), features.validation) if validations else []  # none where it diverged at once
    voice = {f"free_running_{name}": value for name, value in summary(at_the_end).items()} if at_the_end else {}
    return {"reports": reports, "voice": _rounded(voice), "sentences": [_rounded(asdict(s)) for s in at_the_end]}


def seconds_of_reports(events: Iterable[Event]) -> dict[int, float]:
    """Seconds of training up to each report, without the time between an interruption and the next start."""
    seconds = {}
    worked = 0.0
    before: float | None = None
    for event in events:
        if event.kind is not EventKind.STARTED and before is not None:
            worked += event.time - before
        before = event.time
        if event.kind is EventKind.VALIDATION:
            seconds[event.data["index"]] = round(worked, 2)
    return seconds


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Without texts, which the corpus has."""
    numbers = {name: value for name, value in figures.items() if not isinstance(value, str)}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in numbers.items()}


if __name__ == "__main__":
    main()
