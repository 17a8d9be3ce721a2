"""Which way of searching finds the better voice in the same time, in real studies: ours, Optuna's, or none.

    python -m benchmarks.real_search [--seconds 240] [--seeds 3] [--at-once 9] [--device cuda] [--json FILE]
    python -m benchmarks.real_search --show FILE

Every method searches the space of `--study` for `--seconds`, each seed in a workspace of its own; `--at-once` studies
run beside one another, those of one seed first, so that all methods have the same load. All of it is the real program:
trials as processes, the store, MLflow's mirror. The methods:

    promotion        TPE, and trials that pause at rungs (`pruner.kind: promotion`); nothing is enqueued
    median-distance  the same sampler with Optuna's MedianPruner on the distance; a report of a model that does not
                     align, and so is not heard, counts as worse than any other. On a GPU a trial of 600,000 frames is
                     heard at its end alone, so that nothing but mute models could be pruned
    median-loss      the same with the validation loss, which every report has
    known-good       no search: the study's first enqueued setting, trained again and again with other seeds

Then the best setting of each search is trained `--again` times with other seeds, since it may have won by luck: what
counts is the mean of these trainings, compared with the mean of the known-good ones in units of their spread, which is
what seeds alone do. The time of the first start (imports, the features of the corpus) counts for none.

`--json` is written every few seconds: a benchmark that is killed leaves what it had, and `--show` prints it.
"""

import argparse
import json
import logging
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console

from benchmarks.report import ROOT, table, write_results
from benchmarks.study_time import PARTS, parts_of, records_of
from smart_tuner.config import Settings, load_settings
from smart_tuner.errors import SmartTunerError
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.machine.capacity import Capacity, Demand
from smart_tuner.main import SmartTunerMain
from smart_tuner.outcome import Cause, State, StopRequest
from smart_tuner.pruning import Curve
from smart_tuner.run import session
from smart_tuner.run.corpus import prepare_corpus, shared_config
from smart_tuner.run.record import Record
from smart_tuner.run.trial import TrialLoop
from smart_tuner.spec import StudySpec, load_study, parse_overrides, parse_study
from smart_tuner.store.attributes import Attr, StudyAttr, shown_state
from smart_tuner.store.curves import curve_of
from smart_tuner.store.storage import open_to_read
from smart_tuner.working_time import seconds_at_work, stored_spans
from smart_tuner.workspace import Workspace, anchored
from trainer.data.processes import cores
from trainer.files import write_atomically

OURS = "promotion"
KNOWN_GOOD = "known-good"
PRUNERS = {OURS: "promotion", "median-distance": "none", "median-loss": "none", KNOWN_GOOD: "none"}
MANY = 300  # trials: more than any study ends in the time
WORST = 1e3  # dB; of a report that was not heard since the model does not align
LOOK_SECONDS = 5.0
SHARES = (0.25, 0.5, 1.0)  # of the time, at which the best voice so far is shown
FIGURES = ("free_running_distance", "free_running_failed", "free_running_alignment", "alignment", "validation_loss")

Row = dict[str, Any]  # of JSON


@dataclass(frozen=True)
class Case:
    """One study. again: None for a search; else which training of the best setting of that search it is."""

    method: str
    seed: int
    again: int | None = None

    @property
    def name(self) -> str:
        """Of the study, on which the seeds of its trainings depend."""
        return f"{self.method}-{self.seed}" + ("" if self.again is None else f"-again-{self.again}")


def main() -> None:
    options = parsed()
    if options.one:
        run_one(json.loads(options.one.read_text(encoding="utf-8")))
        return
    if options.show:
        show(json.loads(options.show.read_text(encoding="utf-8")))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        searches = Searches(folder.resolve(), options)
        searches.prepare()
        cases = [Case(method, seed) for seed in range(1, options.seeds + 1) for method in options.methods]
        searches.run("searches", cases, options.seconds)
        show(searches.results())
        winners = [case for case in cases if case.method != KNOWN_GOOD and searches.best_of(case)]
        again = [replace(case, again=number) for number in range(1, options.again + 1) for case in winners]
        searches.run("trainings again", again, None)
        show(searches.results())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="quickstart", help="a shipped study")
    parser.add_argument("--corpus", help="default: that of the study")
    parser.add_argument("--methods", type=_methods, default=list(PRUNERS), help=f"default: {','.join(PRUNERS)}")
    parser.add_argument("--seeds", type=int, default=3, help="studies of each method")
    parser.add_argument("--seconds", type=float, default=240.0, help="of each study")
    parser.add_argument("--frames", type=int, help="budget of a trial; default: that of the study")
    parser.add_argument("--again", type=int, default=2, help="trainings of each search's best setting, at the end")
    parser.add_argument("--at-once", type=int, default=3, help="studies that run beside one another")
    parser.add_argument("--jobs", type=int, default=1, help="trials at once of one study")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--without-mlflow", action="store_true")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="of the study"
    )
    parser.add_argument("--folder", type=Path, help="keep the workspaces there; default: a temporary one")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--show", type=Path, help="print the figures of this file")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # run the study of this file, in this process
    return parser.parse_args()


def _methods(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(PRUNERS):
        raise argparse.ArgumentTypeError(f"must be of {', '.join(PRUNERS)}, but got {', '.join(sorted(unknown))}")
    return text.split(",")


class Searches:
    """Runs studies in processes of their own, and keeps what is known of them in the file of the figures."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder = folder
        self._options = options
        overrides = parse_overrides(options.overrides)
        overrides |= {"corpus": options.corpus} if options.corpus else {}
        overrides |= {"budget.frames": options.frames} if options.frames else {}
        self._study = load_study(options.study, overrides)
        self._cases: list[Case] = []
        self._took: dict[str, float] = {}
        self._rows: dict[str, Row] = {}

    def prepare(self) -> None:
        """Compute the features that all studies share."""
        paths = asdict(Workspace(self._folder / "shared").paths(self._study.name, 0))
        prepare_corpus(anchored(shared_config(self._study, "cpu", paths)), Console(stderr=True))

    def run(self, what: str, cases: Sequence[Case], seconds: float | None) -> None:
        """seconds: of each study; None: until each has its one trial."""
        begun = time.monotonic()
        self._cases += cases
        over = threading.Event()
        with ThreadPoolExecutor(self._options.at_once + 1) as pool:
            keeper = pool.submit(self._keep, over)
            try:
                list(pool.map(lambda case: self._run_one(case, seconds), cases))
            finally:
                over.set()
            keeper.result()
        self._took[what] = round(time.monotonic() - begun, 1)
        self._write()

    def best_of(self, case: Case) -> Row | None:
        return best_until(self._rows[case.name], math.inf) if case.name in self._rows else None

    def results(self) -> Row:
        o = self._options
        return {"took, s": self._took, "seconds": o.seconds, "jobs": o.jobs, "studies": list(self._rows.values())}

    def _run_one(self, case: Case, seconds: float | None) -> None:
        workspace = self._folder / case.name
        workspace.mkdir()
        (workspace / "cache").symlink_to(self._folder / "shared" / "cache")
        o = self._options
        threads = max(1, cores() // (o.at_once * o.jobs))
        task = {
            "definition": self._definition(case, seconds),
            "method": case.method,
            "settings": {
                "workspace": str(workspace),
                "device": o.device,
                "jobs": o.jobs,
                "trials_per_device": o.at_once * o.jobs,
                "mlflow": case.again is None and not o.without_mlflow,
            },
            "threads": threads,
        }
        file = workspace / "task.json"
        file.write_text(json.dumps(task), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.real_search", "--one", str(file)]
        with (workspace / "log.txt").open("w", encoding="utf-8") as log:
            code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log).returncode
        if code:
            end = (workspace / "log.txt").read_text(encoding="utf-8")[-2000:]
            print(f"{case.name} ended with exit code {code}:\n{end}", file=sys.stderr, flush=True)

    def _definition(self, case: Case, seconds: float | None) -> Row:
        given = self._study.as_given() | {"name": case.name, "enqueue": []}
        if case.again is not None:
            best = self.best_of(replace(case, again=None))
            assert best is not None
            fixed = {**self._study.fixed, **best["params"]}
            return given | {"fixed": fixed, "search": {}, "trials": 1, "pruner": {"kind": "none"}}
        if case.method == KNOWN_GOOD:
            given["enqueue"] = [dict(self._study.enqueue[0])] * MANY
        assert seconds is not None
        return given | {
            "pruner": {"kind": PRUNERS[case.method]},
            "sampler": {**given.get("sampler", {}), "seed": case.seed},
            "hours": seconds / 3600,
            "trials": MANY,
        }

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(LOOK_SECONDS):
            self._write()

    def _write(self) -> None:
        for case in self._cases:
            with suppress(SmartTunerError, KeyError):  # it has not begun
                self._rows[case.name] = row_of(self._folder / case.name, case)
        if self._options.json:
            with write_atomically(self._options.json) as beside:
                write_results(beside, self.results(), vars(self._options))


def row_of(workspace: Path, case: Case) -> Row:
    """What the store and the records have of a study. Raises SmartTunerError or KeyError where it has not begun."""
    storage = open_to_read(f"sqlite:///{workspace}/studies.db", 0)
    study = optuna.load_study(study_name=case.name, storage=storage)
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.params or case.again is not None]
    begun = _begun(study, parse_study(study.user_attrs[StudyAttr.DEFINITION], "the store"))
    parts = [parts_of(record) for record in records_of(workspace, case.name, trials)]
    storage.engine.dispose()
    return {
        **asdict(case),
        "trials": [_trial_row(trial, begun) for trial in trials],
        "parts, s": {part: round(sum(of_trial[part] for of_trial in parts), 2) for part in PARTS},
    }


def _begun(study: optuna.Study, spec: StudySpec) -> float:
    """When its time began; of one without a limit, when its first trial did."""
    deadline = study.user_attrs.get(StudyAttr.DEADLINE)
    if deadline is not None and spec.hours is not None:
        return float(deadline - 3600 * spec.hours)
    return min((t.datetime_start.timestamp() for t in study.get_trials(deepcopy=False) if t.datetime_start), default=0)


def _trial_row(trial: FrozenTrial, begun: float) -> Row:
    metrics = trial.user_attrs.get(Attr.METRICS, {})
    ended = trial.datetime_complete
    reports = {int(index): round(value, 4) for index, value in trial.user_attrs.get(Attr.ALIGNMENT, {}).items()}
    return {
        "number": trial.number,
        "state": shown_state(trial),
        "value": trial.value if trial.state is TrialState.COMPLETE else None,
        "feasible": trial.state is TrialState.COMPLETE and bool(trial.user_attrs[Attr.FEASIBLE]),
        "ended, s": None if ended is None else round(ended.timestamp() - begun, 1),
        "at work, s": round(seconds_at_work(stored_spans(trial)), 2),
        "reports": max(reports, default=0),
        "promoted": trial.user_attrs.get(Attr.PROMOTED, []),
        "alignment": reports,
        "params": trial.params,
        **{name: round(metrics[name], 4) for name in FIGURES if name in metrics},
    }


def best_until(study: Row, seconds: float) -> Row | None:
    """The best feasible trial that had ended by then."""
    ended = [t for t in study["trials"] if t["feasible"] and t["ended, s"] <= seconds]
    return min(ended, key=lambda trial: float(trial["value"]), default=None)


# Tables.


def show(results: Row) -> None:
    studies = [study for study in results["studies"] if study["again"] is None]
    print(f"took, s: {results['took, s']}\n")
    print(table([study_row(study, results["seconds"]) for study in studies]))
    print(f"\n{table(method_rows(results['studies']))}\n")
    print(
        f"Where the time of the searches went:\n\n{table(time_rows(studies, results['seconds'] * results['jobs']))}\n"
    )
    sys.stdout.flush()


def study_row(study: Row, seconds: float) -> Row:
    trials = study["trials"]
    states = [trial["state"] for trial in trials]
    best = [best_until(study, share * seconds) if share < 1 else best_until(study, math.inf) for share in SHARES]
    reports = max((trial["reports"] for trial in trials), default=0)
    return {
        "method": study["method"],
        "seed": study["seed"],
        **{f"best at {share:.0%}": b["value"] if b else None for share, b in zip(SHARES, best, strict=True)},
        "of trial": best[-1]["number"] if best[-1] else None,
        "begun": len(trials),
        **{state: states.count(state) for state in ("COMPLETE", "PRUNED", "PAUSED", "FAIL")},
        "promoted": sum(bool(trial["promoted"]) for trial in trials),
        "feasible": sum(trial["feasible"] for trial in trials),
        "budgets": sum(trial["reports"] for trial in trials) / max(1, reports),
        "at work, s": sum(trial["at work, s"] for trial in trials),
    }


def time_rows(studies: Iterable[Row], seconds: float) -> list[Row]:
    """One per method, in shares of the time of its workers. seconds: of all workers of one study."""
    rows = []
    studies = list(studies)
    for method in dict.fromkeys(study["method"] for study in studies):
        searches = [study for study in studies if study["method"] == method]
        parts = {part: sum(study["parts, s"][part] for study in searches) for part in PARTS}
        whole = seconds * len(searches)
        shares = {f"{part}, %": 100 * spent / whole for part, spent in parts.items()}
        rows.append({"method": method, "between trials, %": 100 * (1 - sum(parts.values()) / whole), **shares})
    return rows


def method_rows(studies: Iterable[Row]) -> list[Row]:
    """One per method: what its best settings are worth with other seeds, against the known-good setting."""
    studies = list(studies)
    known = ended_of(studies, lambda study: study["method"] == KNOWN_GOOD)
    values = [float(trial["value"]) for trial in known]
    noise = statistics.stdev(values) if len(values) > 1 else math.nan
    rows = [_method_row(KNOWN_GOOD, studies, known, values, noise)] if known else []
    for method in dict.fromkeys(study["method"] for study in studies if study["method"] != KNOWN_GOOD):
        again = ended_of(studies, lambda s, m=method: s["method"] == m and s["again"] is not None)  # type: ignore[misc]
        rows.append(_method_row(method, studies, again, values, noise))
    return rows


def ended_of(studies: Iterable[Row], is_wanted: Callable[[Row], bool]) -> list[Row]:
    return [t for study in studies if is_wanted(study) for t in study["trials"] if t["state"] == "COMPLETE"]


def _method_row(
    method: str, studies: Iterable[Row], trainings: Sequence[Row], known: Sequence[float], noise: float
) -> Row:
    searches = [study for study in studies if study["method"] == method and study["again"] is None]
    found = [best["value"] for study in searches if (best := best_until(study, math.inf))]
    values = [float(trial["value"]) for trial in trainings]
    mean = statistics.mean(values) if values else math.nan
    gain = statistics.mean(known) - mean if known else math.nan
    return {
        "method": method,
        "studies": len(searches),
        "with a feasible trial": len(found),
        "best in hand, mean dB": statistics.mean(found) if found else None,
        "its setting again: trainings": len(values),
        "feasible": sum(trial["feasible"] for trial in trainings),
        "mean dB": mean if values else None,
        "sd between trainings": statistics.stdev(values) if len(values) > 1 else None,
        "less than known-good, dB": None if method == KNOWN_GOOD or math.isnan(gain) else gain,
        "in units of its noise": None if method == KNOWN_GOOD or math.isnan(gain / noise) else gain / noise,
    }


# In the process of one study.


def run_one(task: Mapping[str, Any]) -> None:
    logging.basicConfig(level=logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = load_settings(**task["settings"])
    spec = parse_study(task["definition"], "benchmark")
    loop = MEDIAN_LOOPS.get(task["method"])
    judging: AbstractContextManager[object] = nullcontext()
    if loop is not None and spec.search:  # a training again is not judged
        judging = patch.object(session, "TrialLoop", loop)
    console = Console(file=sys.stdout, force_terminal=False)
    with judging:
        tuner(spec, settings, task["threads"], console).optimize()


def tuner(spec: StudySpec, settings: Settings, threads: int, console: Console) -> SmartTunerMain:
    return SmartTunerMain(spec, settings=settings, executor=Shared(threads), console=console)


class Shared(LocalExecutor):
    """Has each trial use a share of the cores, since other studies use the rest."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._threads = threads

    def capacity(self, demand: Demand) -> Capacity:
        return replace(super().capacity(demand), threads=self._threads)


class MedianLoop(TrialLoop):
    """Ends trials by Optuna's MedianPruner instead of our own judgement, but for those that diverge."""

    def _stop_request(self, trial: Trial, record: Record) -> StopRequest | None:
        if (diverged := super()._stop_request(trial, record)) is not None:
            return diverged
        mine = self._reports(record.points)
        trials = self._queue.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        others = [self._reports(curve_of(other, self._objective)) for other in trials]
        if not median_prunes(mine, others):
            return None
        return StopRequest(State.PRUNED, Cause.OTHER, "Optuna's MedianPruner")

    def _reports(self, curve: Curve) -> dict[int, float]:
        """What Optuna is told of a trial."""
        raise NotImplementedError


class DistanceLoop(MedianLoop):
    def _reports(self, curve: Curve) -> dict[int, float]:
        floor = self._spec.constraints.alignment.at_least
        told = {index: p.value if p.alignment >= floor else WORST for index, p in curve.items()}
        return {index: value for index, value in told.items() if value is not None}


class LossLoop(MedianLoop):
    def _reports(self, curve: Curve) -> dict[int, float]:
        return {index: point.loss for index, point in curve.items()}


MEDIAN_LOOPS: Mapping[str, type[MedianLoop]] = {"median-distance": DistanceLoop, "median-loss": LossLoop}


def median_prunes(mine: Mapping[int, float], others: Iterable[Mapping[int, float]]) -> bool:
    """Whether Optuna's MedianPruner, with its defaults, would end a trial with these reports. others: COMPLETE ones."""
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner())
    for reports in others:
        study.add_trial(optuna.trial.create_trial(value=0.0, intermediate_values=dict(reports)))
    trial = optuna.trial.create_trial(state=TrialState.RUNNING, intermediate_values=dict(mine))
    return study.pruner.prune(study, trial)


if __name__ == "__main__":
    main()
