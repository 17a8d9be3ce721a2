"""What evaluating the speech of a trial costs: the same trial with evaluations and without, in turns.

    python -m benchmarks.evaluation_cost [--study quickstart] [--corpus demo:en] [--device cpu] [--json FILE]

Trains the first enqueued setting of the study for its whole budget, as the tuner does: a process of its own, with the
study's reports. Counts the processor time of the process, and the time on the wall, which is what counts on a GPU.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from benchmarks.report import ROOT, table, write_results
from trainer.config import TrainerConfig
from trainer.data.features import open_features
from trainer.dotted import merge, unflatten
from trainer.protocol import EventKind, RunDir, all_events

SENTENCES = TrainerConfig().validation.free_running_utterances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="quickstart", help="a shipped study")
    parser.add_argument("--corpus", default="demo:en")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--frames", type=int, help="of a trial (default: the study's budget)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    trials: dict[int, list[dict[str, float]]] = {0: [], SENTENCES: []}
    with tempfile.TemporaryDirectory() as name:
        open_features(config_of(options, SENTENCES, Path(name)))  # once, before it is measured
        for number in range(options.rounds):
            for sentences, measured in trials.items():
                measured.append(trial(config_of(options, sentences, Path(name)), Path(name, f"{number}-{sentences}")))
    found = [row(sentences, measured) for sentences, measured in trials.items()]
    print(table(found))
    without, with_ = found
    shares = {f"share of the {clock}": with_[clock] / without[clock] - 1 for clock in ("processor, s", "wall, s")}
    print(table([shares]))
    if options.json:
        write_results(options.json, {"trials": found, "evaluations": shares}, vars(options))


def config_of(options: argparse.Namespace, sentences: int, folder: Path) -> TrainerConfig:
    study = yaml.safe_load((ROOT / "studies" / f"{options.study}.yaml").read_text(encoding="utf-8"))
    budget = study["budget"] | ({"frames": options.frames} if options.frames else {})
    own = {
        "preset": study.get("preset", "full"),
        "corpus": {"source": options.corpus},
        "budget": budget,
        "validation": {
            "free_running_utterances": sentences,
            "best_by": "free_running_distance" if sentences else "validation_loss",
        },
        "device": {"name": options.device},
        "paths": {"cache": str(folder / "cache"), "tensorboard": str(folder / "logs")},
    }
    fixed = {name: number(value) for name, value in {**study.get("fixed", {}), **study["enqueue"][0]}.items()}
    return TrainerConfig.from_mapping(merge(own, unflatten(fixed)), "evaluation_cost")


def number(value: Any) -> Any:
    """PyYAML reads 4e-3 as text."""
    with suppress(TypeError, ValueError):
        return float(value) if isinstance(value, str) else value
    return value


def trial(config: TrainerConfig, run: Path) -> dict[str, float]:
    run.mkdir()
    settings = merge(json.loads(config.to_json()), {"paths": {"run": str(run)}})
    (run / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [sys.executable, "-m", "trainer", "--config", str(run / "config.json")]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    events = all_events(RunDir(run).events)
    validations = [event.data for event in events if event.kind is EventKind.VALIDATION]
    return {
        "processor, s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall, s": time.perf_counter() - began,
        "reports": len(validations),
        "evaluated": sum("free_running_distance" in data for data in validations),
    }


def row(sentences: int, measured: list[dict[str, float]]) -> dict[str, Any]:
    return {"sentences": sentences, **{name: fmean(one[name] for one in measured) for name in measured[0]}}


if __name__ == "__main__":
    main()
