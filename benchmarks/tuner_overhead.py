"""What the tuner itself costs, compared with plain Optuna and Ray Tune, with a trainer that does nothing.

    python -m benchmarks.tuner_overhead [--trials 50] [--jobs 1 2] [--rounds 3] [--without-ray] [--json FILE]

All run the same process for each trial, sample the twelve parameters of the study `quickstart` with Optuna's TPE, and
report ten values per trial. They take turns, `--rounds` times, and the medians are printed. Plain Optuna runs the
process to its end and then reports; Ray Tune runs it inside a function trainable, on a Ray cluster with as many CPUs as
jobs, whose start is not counted. Then one trial of `--long` seconds with two reports a second shows the cost of
following a trial. CPU is that of the tuner's process or of Ray's driver, without the trainers; that of Ray's processes
has its own column. Statements are those sent to the store of trials, without MLflow's.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import psutil
from sqlalchemy import Engine, event

from benchmarks.idle_study import idle_command, idle_executor, idle_study, run_study
from benchmarks.report import ROOT, table, write_results
from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec
from smart_tuner.spec.parameters import Search
from trainer.protocol import EventKind, all_events

REPORTS_PER_SECOND = 2  # of the long trial
RAY_RATIO = 10.0  # goal: Ray Tune takes so many times as long per trial
OPTUNA_MS = 20.0  # goal: at most so many milliseconds per trial more than plain Optuna with the same process
OURS = "Smart Tuner"
OURS_MLFLOW = "Smart Tuner, MLflow"
PLAIN = "Optuna, process"
RAY = "Ray Tune, process"


@dataclass(frozen=True)
class Task:
    """What a contestant has to do, in an empty folder."""

    spec: StudySpec  # `spec.trials` trials of `spec.budget.reports` reports each
    jobs: int
    seconds: float  # that the process of a trial takes
    folder: Path

    @property
    def reports(self) -> int:
        return self.spec.budget.reports


@dataclass(frozen=True)
class Cost:
    """seconds: from the first trial's beginning to the last one's end; cpu: of this process; ray: of Ray's own."""

    seconds: float
    cpu: float
    ray: float
    statements: int


class Clock:
    """Measures the block `counted`, and nothing before and after it."""

    def __init__(self) -> None:
        self.cost = Cost(0, 0, 0, 0)

    @contextmanager
    def counted(self) -> Iterator[None]:
        ray = ray_cpu()
        statements = _statements[0]
        cpu = time.process_time()
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        used = time.process_time() - cpu
        self.cost = Cost(seconds, used, ray_cpu() - ray, _statements[0] - statements)


Contestant = Callable[[Task, Clock], None]

_statements = [0]  # sent to stores of trials, by this process


@event.listens_for(Engine, "before_cursor_execute")
def _count(connection: Any, *_: Any) -> None:
    if not str(connection.engine.url.database).endswith("mlflow.db"):
        _statements[0] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50, help="of each study; Ray Tune runs --ray-trials")
    parser.add_argument("--ray-trials", type=int, default=20)
    parser.add_argument("--reports", type=int, default=10, help="of each trial")
    parser.add_argument("--jobs", nargs="+", type=int, default=[1, 2], help="trials at a time")
    parser.add_argument("--rounds", type=int, default=3, help="how often each takes its turn")
    parser.add_argument("--long", type=float, default=10.0, help="seconds of the trial that is followed")
    parser.add_argument("--without-ray", action="store_true", help="where ray[tune] is not installed, or for speed")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # TPE's `group`
    load = [os.getloadavg()[0]]
    chosen = {name: one for name, one in CONTESTANTS.items() if not (options.without_ray and name == RAY)}
    rows = [row for jobs in options.jobs for row in short_trials(chosen, jobs, options)]
    print(table(rows), end="\n\n")
    watched = long_trial(chosen, options)
    print(table(watched), end="\n\n")
    goals = [goal for jobs in options.jobs for goal in goals_of([row for row in rows if row["jobs"] == jobs])]
    print(table(goals))
    load.append(os.getloadavg()[0])
    print(f"load of the machine before and after: {load[0]:.1f} {load[1]:.1f}")
    if options.json:
        write_results(options.json, {"trials": rows, "watched": watched, "goals": goals, "load": load}, vars(options))


def short_trials(chosen: dict[str, Contestant], jobs: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A study of each contestant in turn, `rounds` times -> the medians."""
    costs: dict[str, list[Cost]] = {name: [] for name in chosen}
    counts = {name: options.ray_trials if name == RAY else options.trials for name in chosen}
    for _ in range(options.rounds):
        for name, contestant in chosen.items():
            spec = idle_study(options.reports, counts[name])
            costs[name].append(measure(contestant, spec, jobs, 0.0))
    return [{"tuner": name, "jobs": jobs, **per_trial(costs[name], counts[name])} for name in chosen]


def measure(contestant: Contestant, spec: StudySpec, jobs: int, seconds: float) -> Cost:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        contestant(Task(spec, jobs, seconds, Path(folder)), clock)
    return clock.cost


def per_trial(costs: Sequence[Cost], trials: int) -> dict[str, Any]:
    def median(figure: str, scale: float) -> float:
        figures: list[float] = [getattr(cost, figure) for cost in costs]
        return round(scale * statistics.median(figures) / trials, 3)

    return {
        "trials": trials,
        "ms/trial": median("seconds", 1000),
        "CPU ms/trial": median("cpu", 1000),
        "Ray's CPU ms/trial": median("ray", 1000) or None,
        "statements/trial": median("statements", 1) or None,
    }


def long_trial(chosen: dict[str, Contestant], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One trial each, including the tuner's work before and after it."""
    rows = []
    for name in (name for name in chosen if name in (OURS, OURS_MLFLOW, RAY)):
        spec = idle_study(max(2, round(REPORTS_PER_SECOND * options.long)), 1)
        cost = measure(chosen[name], spec, 1, options.long)
        share = 100 / options.long
        rows.append(
            {
                "tuner": name,
                "seconds of the trial": options.long,
                "reports": spec.budget.reports,
                "CPU %": round(share * cost.cpu, 2),
                "Ray's CPU %": round(share * cost.ray, 2) or None,
            }
        )
    return rows


def goals_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    by_name = {row["tuner"]: row for row in rows}
    ours = by_name[OURS]
    goals = []

    def goal(words: str, got: float, met: bool) -> None:
        goals.append({"jobs": ours["jobs"], "goal": words, "got": round(got, 2), "met": "yes" if met else "NO"})

    if RAY in by_name:
        ratio = by_name[RAY]["ms/trial"] / ours["ms/trial"]
        goal(f"Ray Tune's time per trial is {RAY_RATIO:g} times ours", ratio, ratio >= RAY_RATIO)
    more = ours["ms/trial"] - by_name[PLAIN]["ms/trial"]
    goal(f"at most {OPTUNA_MS:g} ms per trial more than plain Optuna with a process", more, more <= OPTUNA_MS)
    return goals


def ours(task: Task, clock: Clock) -> None:
    _ours(task, clock, mlflow=False)


def ours_mlflow(task: Task, clock: Clock) -> None:
    _ours(task, clock, mlflow=True)


def _ours(task: Task, clock: Clock, mlflow: bool) -> None:
    """Everything after the study is open, until MLflow has everything."""
    executor = idle_executor(task.reports, task.seconds)
    counted = clock.counted()
    states = run_study(task.spec, executor, task.folder, task.jobs, mlflow=mlflow, counted=counted)
    assert states == {"COMPLETE": task.spec.trials}, states


def plain_process(task: Task, clock: Clock) -> None:
    plain(task, clock, f"sqlite:///{task.folder}/studies.db", process=True)


def plain_process_median(task: Task, clock: Clock) -> None:
    plain(task, clock, f"sqlite:///{task.folder}/studies.db", process=True, pruner=optuna.pruners.MedianPruner())


def plain_sqlite(task: Task, clock: Clock) -> None:
    plain(task, clock, f"sqlite:///{task.folder}/studies.db", process=False)


def plain_memory(task: Task, clock: Clock) -> None:
    plain(task, clock, None, process=False)


def plain(
    task: Task,
    clock: Clock,
    storage: str | None,
    process: bool,
    pruner: optuna.pruners.BasePruner | None = None,
) -> None:
    """`study.optimize`, as its users write it; without a `pruner`, `should_prune` is not called."""

    def objective(trial: optuna.Trial) -> float:
        suggest(trial, task.spec.search)
        losses = losses_of_a_process(task, trial.number) if process else [1.0] * task.reports
        for index, loss in enumerate(losses, 1):
            trial.report(loss, index)
            if pruner is not None and trial.should_prune():
                raise optuna.TrialPruned
        return losses[-1]

    sampler = tpe(task.spec)
    nop = optuna.pruners.NopPruner()
    study = optuna.create_study(storage=storage, sampler=sampler, pruner=pruner or nop)
    with clock.counted():
        study.optimize(objective, n_trials=task.spec.trials, n_jobs=task.jobs)
    assert all(trial.state is optuna.trial.TrialState.COMPLETE for trial in study.trials)


def tpe(spec: StudySpec) -> optuna.samplers.TPESampler:
    """The study's sampler, but one for all trials."""
    startup = spec.sampler.startup_trials
    return optuna.samplers.TPESampler(seed=1, n_startup_trials=startup, multivariate=True, group=True)


def losses_of_a_process(task: Task, number: int | str) -> list[float]:
    folder = task.folder / f"trial-{number}"
    folder.mkdir()
    command = [*idle_command(task.reports, task.seconds), "--config", f"{folder}/config.json"]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    found = all_events(folder / "events.jsonl")
    return [event.data["loss"] for event in found if event.kind is EventKind.VALIDATION]


def ray_tune(task: Task, clock: Clock) -> None:
    """A function trainable that starts the process and reports its losses as they come."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def trainable(_: dict[str, Any]) -> None:
        sys.path.insert(0, str(ROOT))
        from benchmarks.ray_trainable import reports_of_a_process

        folder = task.folder / tune.get_context().get_trial_id()
        for loss in reports_of_a_process(idle_command(task.reports, task.seconds), folder):
            tune.report({"loss": loss})

    os.environ |= {"RAY_AIR_NEW_OUTPUT": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    ray.init(num_cpus=task.jobs, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        space = partial(draw, task.spec.search)
        search = OptunaSearch(space, metric="loss", mode="min", sampler=tpe(task.spec))
        how = tune.TuneConfig(search_alg=search, num_samples=task.spec.trials, max_concurrent_trials=task.jobs)
        run = tune.RunConfig(storage_path=str(task.folder / "ray"), verbose=0)
        with clock.counted():
            found = tune.Tuner(trainable, tune_config=how, run_config=run).fit()
        assert len(found) == task.spec.trials, found
        assert not found.num_errors, found.errors
    finally:
        ray.shutdown()


def draw(search: Search, trial: optuna.Trial) -> None:
    """The search space, in the form that Ray Tune takes."""
    suggest(trial, search)


def ray_cpu() -> float:
    """Seconds of all of Ray's processes here, and of ended ones whose parents waited for them."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


CONTESTANTS: dict[str, Contestant] = {
    OURS: ours,
    OURS_MLFLOW: ours_mlflow,
    PLAIN: plain_process,
    "Optuna, process, median pruner": plain_process_median,
    "Optuna, SQLite": plain_sqlite,
    "Optuna, memory": plain_memory,
    RAY: ray_tune,
}


if __name__ == "__main__":
    main()
