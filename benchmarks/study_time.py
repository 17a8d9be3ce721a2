"""Where the time of a study went: between trials, until the first updates, updates, reports, files, speech at the end.

    python -m benchmarks.study_time WORKSPACE [--study quickstart] [--jobs 1] [--json FILE]
    python -m benchmarks.study_time --run 50 [--device cuda] [--study quickstart] [--jobs 1] [--json FILE]

Reads the records of the trials and the store, after `smart-tuner optimize`; with `--run` it first runs that many trials
of the shipped study, by default in a folder that is thrown away. Between trials is the time of `--jobs` workers, from
the first trial's beginning to the last one's end, in which no trainer was at work. Counts the trainers that ended after
a trial that ended well, since they held too much memory or could not give it back.

On a GPU nothing waits for the device at an update, so that the updates before a report would count as the report: of
these, the median pace of the trial's other updates is counted.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from benchmarks.report import table, write_results
from smart_tuner.store.attributes import shown_state
from smart_tuner.store.storage import open_to_read
from smart_tuner.working_time import merged, seconds_at_work, stored_spans
from smart_tuner.workspace import Workspace
from trainer import leftovers
from trainer.evaluation.verdict import PREFIX
from trainer.protocol import Event, EventKind, RunDir, all_events

FIRST = "first updates"  # from the first event on: on a GPU, graphs are captured
UPDATES = "updates"
SILENT = "reports without speech"
HEARD = "reports with speech"
FILES = "checkpoints, pictures, sounds"
END = "speech at the end"
PARTS = (FIRST, UPDATES, SILENT, HEARD, FILES, END)

Parts = Mapping[str, float]  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--study", default="quickstart")
    parser.add_argument("--jobs", type=int, default=1, help="trials at once")
    parser.add_argument("--run", type=int, metavar="TRIALS", help="run the study first, on its own corpus")
    parser.add_argument("--device", default="auto", help="of the trials of --run: auto, cpu, cuda, cuda:1")
    parser.add_argument("--frames", type=int, help="of each trial of --run; default: the study's")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    if options.workspace is None and not options.run:
        parser.error("name a workspace, or --run")
    with tempfile.TemporaryDirectory() as folder:
        workspace = options.workspace or Path(folder)
        wall = {"the whole command, s": run(workspace, options)} if options.run else {}
        storage = open_to_read(f"sqlite:///{workspace}/studies.db")
        trials = optuna.load_study(study_name=options.study, storage=storage).get_trials(deepcopy=False)
        figures = figures_of(trials, records_of(workspace, options.study, trials), options.jobs) | wall
        figures["trainers that were to train no more"] = refused(workspace, options.study)
    print(table([{"": name, "value": value} for name, value in figures.items()]))
    if options.json:
        write_results(options.json, {"figures": figures}, vars(options))


def run(workspace: Path, options: argparse.Namespace) -> float:
    """Seconds of `smart-tuner optimize --trials N --jobs N`."""
    from rich.console import Console

    from smart_tuner.config import load_settings
    from smart_tuner.main import SmartTunerMain

    settings = load_settings(workspace=workspace, jobs=options.jobs, device=options.device)
    overrides = {"budget.frames": options.frames} if options.frames else {}
    begun = time.monotonic()
    tuner = SmartTunerMain(options.study, settings=settings, overrides=overrides, console=Console(quiet=True))
    tuner.optimize(options.run)
    return time.monotonic() - begun


def refused(workspace: Path, study: str) -> int:
    """What `trainer.leftovers` says of them is in the log of their last trial."""
    logs = (workspace / "runs" / study).glob("trial-*/trainer.log")
    return sum(text in log.read_text("utf-8", "replace") for log in logs for text in (leftovers.FAILED, leftovers.GREW))


def records_of(workspace: Path, study: str, trials: Iterable[FrozenTrial]) -> list[Sequence[Event]]:
    folders: Iterable[RunDir] = (Workspace(workspace).run_dir(study, trial.number) for trial in trials)
    return [all_events(folder.events) for folder in folders if folder.events.exists()]


def figures_of(trials: Sequence[FrozenTrial], records: Iterable[Sequence[Event]], jobs: int) -> dict[str, float]:
    """Seconds of the whole study, and of all trials together, by part."""
    states = Counter(shown_state(trial) for trial in trials)
    begun = [trial.datetime_start.timestamp() for trial in trials if trial.datetime_start]
    ended = [trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete]
    spans = [span for trial in trials for span in stored_spans(trial)]
    wall = max([*ended, *(s.end for s in spans)]) - min([*begun, *(s.begin for s in spans)]) if spans else 0.0
    at_work = sum(seconds_at_work(stored_spans(trial)) for trial in trials)
    parts = [parts_of(record) for record in records]
    return {
        **{f"trials {state}": float(count) for state, count in sorted(states.items())},
        "from the first trial to the end, s": wall,
        "of which no trial was at work, s": wall - sum(span.end - span.begin for span in merged(spans)),
        "workers together, s": jobs * wall,
        "between trials, s": jobs * wall - at_work,
        **{f"{part}, s": sum(of_trial[part] for of_trial in parts) for part in PARTS},
        "median trial COMPLETE, s": _median([_seconds(t) for t in trials if t.state.name == "COMPLETE"]),
        "median trial PRUNED, s": _median([_seconds(t) for t in trials if t.state.name == "PRUNED"]),
    }


def _seconds(trial: FrozenTrial) -> float:
    return seconds_at_work(stored_spans(trial))


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def parts_of(record: Sequence[Event]) -> dict[str, float]:
    """The time between two events counts as what the second one ends; that between two attempts does not count."""
    found = dict.fromkeys(PARTS, 0.0)
    pace = _pace(record)
    for before, event in pairwise(record):
        seconds = event.time - before.time
        if event.kind is EventKind.STARTED:
            continue
        if event.kind is EventKind.PROGRESS:
            found[FIRST if before.kind is EventKind.STARTED else UPDATES] += seconds
        elif event.kind is EventKind.VALIDATION:
            updates = min(seconds, pace * (event.frames - before.frames))
            found[UPDATES] += updates
            found[HEARD if _is_heard(event.data) else SILENT] += seconds - updates
        elif event.kind in (EventKind.FREE_RUNNING, EventKind.FINISHED, EventKind.STOPPED):
            found[END] += seconds
        else:
            found[FILES] += seconds
    return found


def _pace(record: Sequence[Event]) -> float:
    """Median seconds per frame between two events of progress that follow each other."""
    paces = [
        (event.time - before.time) / (event.frames - before.frames)
        for before, event in pairwise(record)
        if before.kind is EventKind.PROGRESS and event.kind is EventKind.PROGRESS and event.frames > before.frames
    ]
    return _median(paces)


def _is_heard(figures: Mapping[str, Any]) -> bool:
    return any(name.startswith(PREFIX) for name in figures)


if __name__ == "__main__":
    main()
