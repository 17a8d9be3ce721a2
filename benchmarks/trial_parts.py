"""Where the time of one trial goes outside of its updates: until the first of them, at validations, and at its end.

    python -m benchmarks.trial_parts [--device cuda] [--preset tiny] [--frames 120000] [--beside CHECKOUT] [--json FILE]
    python -m benchmarks.trial_parts --source demo:en --batch 8 --frames 600000 --reports 10

Trains on noise, whose sentences hardly ever end by their gate, so that speech without a teacher takes its longest time.
With `--source` on a corpus, which is prepared before; with these numbers a trial is the first one of the quickstart.
Each trial runs in its own process, `--rounds` times, and the least time of each part counts. On CUDA each part begins
and ends with a synchronisation. `--beside` measures the trainer of another checkout in turns with this one. On a
machine that does other work too, `--clock cpu --threads 1` counts processor time, which does not include waiting.

Everything that is not part of validation or of the end counts as updates, including progress events. On CUDA the first
update of each size of batch sets up and compiles, the second is captured as a graph; both are measured alone. Needs
torch, numpy and pyyaml; TensorBoard, pictures and samples are skipped, with a message, if their packages are not
installed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from functools import wraps
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from statistics import mean
from typing import Any

NEEDS = {
    "tensorboard": ["tensorboard"],
    "pictures": ["matplotlib", "PIL"],
    "samples": ["scipy", "soundfile"],
}
ROOT = Path(__file__).resolve().parents[1]
SECONDS_OF_A_CLIP = {"tiny": 2.1, "full": 6.57}  # the embedded corpus, LJSpeech
CLIPS = 300
VALIDATION_SHARE = 0.1
GUIDED_WEIGHT = 10.0  # of the quickstart's first trial, which aligns
OF_A_SIZE = ("first of a size", "second of a size")

Parts = dict[str, dict[str, float]]  # when -> what -> seconds
Now = Callable[[], float]
CLOCKS: dict[str, Now] = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--preset", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--source", help="a corpus to train on, such as demo:en; default: noise")
    parser.add_argument("--batch", type=int, help="default: the preset's")
    parser.add_argument("--frames", type=int, default=120_000, help="of the trial")
    parser.add_argument("--reports", type=int, default=4, help="validations of the trial")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: one per core")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout of this repository")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(json.loads(options.one), CLOCKS[options.clock])))
        return
    from benchmarks.report import write_results

    trees = {"here": ROOT} | ({"beside": options.beside.resolve()} if options.beside else {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = prepare(folder, options)
        found: dict[str, list[Parts]] = {tree: [] for tree in trees}
        for i in range(options.rounds):
            for tree, root in trees.items():
                found[tree].append(run(root, settings | {"paths": paths(folder, f"{tree}-{i}")}, options.clock))
    results = {tree: least(rounds) for tree, rounds in found.items()}
    show(results)
    if options.json:
        write_results(options.json, {"seconds": results}, vars(options))


def prepare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write features -> the settings of a trial on them."""
    from benchmarks.noise import write_features, write_listed
    from trainer.config import TrainerConfig
    from trainer.data.features import open_features
    from trainer.dotted import merge

    missing = {key: [name for name in names if find_spec(name) is None] for key, names in NEEDS.items()}
    for key, names in missing.items():
        if names:
            print(f"without {key}: {', '.join(names)} is not installed")
    settings: dict[str, Any] = {
        "preset": options.preset,
        "text": {"language": "en"},
        "budget": {"frames": options.frames, "reports": options.reports},
        "device": {"name": options.device, "threads": options.threads},
        "logging": {key: not names for key, names in missing.items()},
        "paths": paths(folder, "none"),
    }
    if options.batch:
        settings["batch"] = {"size": options.batch}
    if options.source:
        settings |= {"corpus": {"source": options.source}, "guided_attention": {"weight": GUIDED_WEIGHT}}
        open_features(TrainerConfig.from_mapping(settings))
        return settings
    of_noise = {
        "corpus": {"source": str(folder / "corpus"), "validation_share": VALIDATION_SHARE},
        "validation": {"alignment_floor": 0.0},  # what does not align is not made to speak at reports
    }
    settings = merge(settings, of_noise)
    seconds = SECONDS_OF_A_CLIP[options.preset]
    write_listed(folder / "corpus", CLIPS, seconds, spread=0.5)
    write_features(TrainerConfig.from_mapping(settings), CLIPS, seconds, spread=0.5)
    return settings


def paths(folder: Path, trial: str) -> dict[str, str]:
    own = folder / trial
    return {"run": str(own / "run"), "tensorboard": str(own / "logs"), "cache": str(folder / "cache")}


def run(root: Path, settings: Mapping[str, Any], clock: str) -> Parts:
    """One trial by the trainer in `root`, in a process of its own."""
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = {"GOMP_SPINCOUNT": "1000", **os.environ, "PYTHONPATH": path}
    command = [sys.executable, str(Path(__file__).resolve()), "--clock", clock, "--one", json.dumps(settings)]
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    parts: Parts = json.loads(done.stdout.splitlines()[-1])
    return parts


def measure(settings: Mapping[str, Any], now: Now) -> Parts:
    """The trial, in this process, which has not imported torch yet."""
    clock = Clock(now)
    begun = now()

    def lap(what: str) -> None:
        nonlocal begun
        clock.wait()
        clock.parts["start"][what] = now() - begun
        begun = now()

    import torch  # noqa: F401 (it is measured)

    lap("import torch")
    from trainer.config import TrainerConfig
    from trainer.device import warm_up

    config = TrainerConfig.from_mapping(settings)
    has_kernels = bool(signature(warm_up).parameters)  # another checkout's may compile none
    warm_up(config) if has_kernels else warm_up()
    lap("warm-up, as on standby")
    from trainer.data.features import open_features
    from trainer.loop import train_on
    from trainer.resuming import open_state

    features = open_features(config, lambda *_: None)
    lap("open the features")
    state = open_state(config, features)
    lap("make the model")
    clock.watch()
    begun = now()
    train_on(state)
    clock.wait()
    clock.parts["trial"] = {
        "updates": float(clock.updates),
        "sizes": float(len(clock.sizes)),
        "total": now() - begun,
        "before the first update": clock.first_begun - begun,
        "first update": clock.update_times[0] - begun,
        "updates 2 to 10": clock.update_times[min(9, len(clock.update_times) - 1)] - clock.update_times[0],
    }
    return clock.parts


class Clock:
    """Adds up the seconds of the trainer's functions, without those of measured functions that they call.

    parts: seconds by when (start, training, validation 1, 2 ..., end) and by what.
    """

    def __init__(self, now: Now) -> None:
        self._now = now
        self.parts: defaultdict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.updates = 0
        self.update_times: list[float] = []  # when the first ten ended
        self.first_begun = 0.0
        self.sizes = Counter[Hashable]()  # of batches, with their updates
        self._when = "training"
        self._validations = 0
        self._within: list[float] = []  # for each open call, seconds of the measured calls within it

    def wait(self) -> None:
        """Wait until the device is idle."""
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()

    def watch(self) -> None:
        """Wrap functions of the trainer so that they are measured."""
        from trainer import checkpoint_files, protocol, reports, summaries, updates, voice_format
        from trainer.evaluation import evaluator

        self._count(updates.Updates)
        self._measure(reports, "settle_batch_norm", "settle batch norms", self._begin_validation)
        self._measure(reports, "validate", "teacher-forced")
        self._measure(checkpoint_files, "load", "load the best", self._begin_end)
        self._measure(evaluator, "speak", "free-running")
        self._measure(evaluator, "measure", "free-running: distances")
        self._measure(evaluator.Evaluator, "ceiling", "the ceiling")
        self._measure(checkpoint_files, "save", "checkpoint: copy and write")
        self._measure(voice_format, "save", "checkpoint: copy and write")
        self._measure(os, "fsync", "fsync")
        self._measure(protocol.EventWriter, "write", "events")
        for name in ("scalars", "picture", "sound", "text", "__exit__"):
            self._measure(summaries.Summaries, name, "TensorBoard")
        if all(map(find_spec, NEEDS["pictures"])):
            from trainer import pictures

            self._measure(pictures, "draw_alignment", "pictures: attention")
            self._measure(pictures, "draw_mels", "pictures: mels")
        if all(map(find_spec, NEEDS["samples"])):
            from trainer import audio

            self._measure(audio, "griffin_lim", "Griffin-Lim")
            self._measure(audio, "to_wav", "WAV")

    def _count(self, owner: Any) -> None:
        """Its calls are the updates, also where they replay a graph."""
        update = owner.__call__

        @wraps(update)
        def counted(updates: Any, batch: Any, *arguments: Any, **named: Any) -> Any:
            size = (batch.mels.shape, batch.tokens.shape)
            before = self.sizes[size]
            self.sizes[size] += 1
            if before >= len(OF_A_SIZE):
                found = update(updates, batch, *arguments, **named)
            else:
                self.wait()
                begun = self._now()
                self.first_begun = self.first_begun or begun
                found = update(updates, batch, *arguments, **named)
                self.wait()
                self.parts["updates"][OF_A_SIZE[before]] += self._now() - begun
            self._updated()
            return found

        owner.__call__ = counted

    def _measure(self, owner: Any, name: str, what: str, first: Callable[[], None] = lambda: None) -> None:
        function = getattr(owner, name)

        @wraps(function)
        def measured(*arguments: Any, **named: Any) -> Any:
            self.wait()
            first()
            self._within.append(0.0)
            begun = self._now()
            try:
                return function(*arguments, **named)
            finally:
                self.wait()
                seconds = self._now() - begun
                self.parts[self._when][what] += seconds - self._within.pop()
                if self._within:
                    self._within[-1] += seconds

        setattr(owner, name, measured)

    def _begin_validation(self) -> None:
        self._validations += 1
        self._when = f"validation {self._validations}"

    def _begin_end(self) -> None:
        self._when = "end"

    def _updated(self) -> None:
        self.updates += 1
        self._when = "training"
        if self.updates in (1, 10):
            self.wait()
        if self.updates <= 10:
            self.update_times.append(self._now())


def least(rounds: list[Parts]) -> Parts:
    """The least time of each part. On a GPU not every round speaks at the same reports."""
    return {
        when: {what: min(r[when][what] for r in rounds if what in r[when]) for what in whats}
        for when, whats in rounds[0].items()
    }


def summary(parts: Parts) -> dict[tuple[str, str], float]:
    """Seconds by when and what: the first validation, the mean of the others, sums."""
    trial = parts["trial"]
    validations = [whats for when, whats in parts.items() if when.startswith("validation")]
    later = validations[1:] or validations
    kinds = {
        "start": parts["start"],
        "training": {
            **{what: trial[what] for what in ("before the first update", "first update", "updates 2 to 10")},
            **parts["updates"],
        },
        "first validation": validations[0],
        "later validation": {what: mean([v.get(what, 0.0) for v in later]) for what in validations[0]},
        "end": parts.get("end", {}),
    }
    rows = {(when, what): seconds for when, whats in kinds.items() for what, seconds in whats.items()}
    rows |= {(when, "all"): sum(kinds[when].values()) for when in ("first validation", "later validation", "end")}
    outside = sum(sum(whats.values()) for whats in (*validations, kinds["end"]))
    rows["trial", "validations and end"] = outside
    rows["trial", "validations and end, share"] = outside / trial["total"]
    rows["trial", "updates"] = trial["total"] - outside
    rows["trial", "everything"] = trial["total"]
    opened = parts["start"]["open the features"] + parts["start"]["make the model"]
    rows["trial", "everything, and what a waiting process does for it"] = trial["total"] + opened
    return rows


def show(results: Mapping[str, Parts]) -> None:
    """A row for each part, a column for each checkout."""
    from benchmarks.report import table

    summaries = {tree: summary(parts) for tree, parts in results.items()}
    rows: list[dict[str, Any]] = []
    for when, what in summaries["here"]:
        row: dict[str, Any] = {"when": when, "ms": what}
        for tree, seconds in summaries.items():
            value = seconds.get((when, what), 0.0)
            row[tree] = f"{100 * value:.0f} %" if what.endswith("share") else f"{1000 * value:,.1f}"
        rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
