"""What a trial costs the tuner as the study grows: ten thousand trials, two hundred at a time, without trainers.

    python -m benchmarks.scale [--trials 10000] [--at-once 200] [--workers 4] [--store postgresql] [--json FILE]

Several processes share one study, `quickstart` with its TPE and its pruner. Each runs its part of the trials in
threads, with an executor that starts no process: five reports come on a schedule of `--seconds`, with losses and
alignments that depend on the parameters, so that some trials are pruned. For each thousand trials (a tenth of a smaller
study), in the order in which they ended, the table has: trials per second, and the milliseconds per trial of CPU and of
wall clock for taking the trial, its suggestion, its reports, the pruner, and its end. Threads share the cores, so the
clock shows mostly how long they waited for each other. Then: CPU of the workers and of the store's server, memory of
the workers, and how many trials TPE's model drew (the others are the first ones, drawn at random, and the enqueued
ones).

The same calls follow with plain Optuna (ask, suggest, report, tell; one sampler for each process), directly to the
store and through Optuna's gRPC proxy, with `--plain-trials`.
"""

import argparse
import functools
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil

import smart_tuner.run.trial
from benchmarks.idle_study import idle_study, run_study, trials_of
from smart_tuner.executors import Exit, Launch
from smart_tuner.machine.admission import FreeAdmission
from smart_tuner.machine.capacity import Capacity, Demand
from smart_tuner.outcome import Outcome
from smart_tuner.run.slot import Slot
from smart_tuner.run.trial import TrialLoop
from smart_tuner.space import suggest
from smart_tuner.spec import StudySpec
from smart_tuner.store.queue import Queue
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study
from tests.support.servers import PostgresServer, free_port
from trainer.protocol import Event, EventKind, ExitCode

REPORTS = 5
WAYS = ("tuner", "optuna", "proxy")
MODELLED = "tpe:relative_params:0"  # Optuna's mark on a trial whose parameters the model drew together
SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Work:
    """The task of one worker process, passed as JSON. part: the number of its trials, if it has no queue."""

    way: str
    url: str
    folder: str
    trials: int
    part: int
    slots: int
    seconds: float
    port: int  # of the proxy


class Steps:
    """Milliseconds of each step of a trial, by wall clock and CPU; written as a line of JSON when the trial ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1, encoding="utf-8")
        self._mine = threading.local()

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*arguments: Any, **options: Any) -> Any:
            clock = time.perf_counter()
            cpu = time.thread_time()
            try:
                return call(*arguments, **options)
            finally:
                spent = vars(self._mine).setdefault("spent", {})
                before = spent.get(name, (0.0, 0.0))
                now = 1000 * (time.perf_counter() - clock), 1000 * (time.thread_time() - cpu)
                spent[name] = before[0] + now[0], before[1] + now[1]

        return timed

    def end(self) -> None:
        spent = vars(self._mine).pop("spent", {})
        self._file.write(json.dumps({"time": time.time(), "spent": spent}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--plain-trials", type=int, help="of plain Optuna's studies; default: a tenth of --trials")
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4, help="processes that share the trials")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a trial would take without a tuner")
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--work", help=argparse.SUPPRESS)  # this is one of the workers
    options = parser.parse_args()
    if options.work:
        work(Work(**json.loads(options.work)))
        return

    from benchmarks.report import table, write_results  # needs torch, which workers do without

    quiet()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that the server ends, too
    results: dict[str, Any] = {"load": [os.getloadavg()[0]]}
    for way in options.ways:
        trials = options.trials if way == "tuner" else options.plain_trials or max(10, options.trials // 10)
        with tempfile.TemporaryDirectory(prefix="scale-", dir="/tmp") as folder:
            results[way] = measure(way, Path(folder), trials, options)
        print(f"{TITLES[way]}, {options.store}, {trials:,} trials, {options.at_once} at once")
        for part in results[way].values():
            print(table(part), end="\n\n", flush=True)
    results["load"].append(os.getloadavg()[0])
    print("load of the machine before and after: {:.1f} {:.1f}".format(*results["load"]))
    if options.json:
        write_results(options.json, results, vars(options))


TITLES = {"tuner": "Smart Tuner", "optuna": "plain Optuna", "proxy": "plain Optuna through its gRPC proxy"}


def measure(way: str, folder: Path, trials: int, options: argparse.Namespace) -> dict[str, Any]:
    slots, part = (math.ceil(count / options.workers) for count in (options.at_once, trials))
    with store(options.store, folder) as (url, server), proxy(url if way == "proxy" else None) as port:
        open_study(open_storage(url), idle_study(REPORTS, trials))  # before the workers start
        task = Work(way, url, str(folder / "work"), trials, part, slots, options.seconds, port)
        (folder / "work").mkdir()
        before = cpu_of(server)
        command = [sys.executable, "-m", "benchmarks.scale", "--work", json.dumps(vars(task))]
        workers = [psutil.Popen(command) for _ in range(options.workers)]
        try:
            samples = list(samples_of(workers, server))
            codes = [worker.wait() for worker in workers]
        finally:
            for worker in workers:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
        served = cpu_of(server) - before
        found = trials_of(url, "quickstart")
    if any(codes) or sum(trial.state.is_finished() for trial in found) < trials:
        sys.exit(f"workers ended with {codes}, {len(found)} trials")
    lines = [json.loads(line) for path in (folder / "work").glob("steps-*") for line in path.open(encoding="utf-8")]
    lines.sort(key=lambda line: line["time"])
    begun = lines[0]["time"]  # before that the workers start
    return {
        "growth": list(by_thousands(lines, min(1000, max(1, trials // 10)), begun, samples)),
        "whole": [whole(found, lines, begun, samples, served)],
    }


Sample = tuple[float, float, float, float]  # time, CPU seconds of the workers, of the server, largest bytes of a worker


def samples_of(workers: Sequence[psutil.Popen], server: psutil.Process | None) -> Iterator[Sample]:
    """Samples of their CPU and memory, until they have ended."""
    while True:
        used = 0.0
        largest = 0.0
        alive = False
        for worker in workers:
            try:
                used += sum(worker.cpu_times()[:2])
                largest = max(largest, worker.memory_info().rss)
                alive |= worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
        if not alive:
            return
        yield time.time(), used, cpu_of(server), largest
        time.sleep(SAMPLE_SECONDS)


def cpu_of(server: psutil.Process | None) -> float:
    """Seconds of a server and its processes; an ended session is counted with the process that waited for it."""
    total = 0.0
    for process in [server, *server.children(recursive=True)] if server else []:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue
    return total


def by_thousands(
    lines: Sequence[Mapping[str, Any]], thousand: int, begun: float, samples: Sequence[Sample]
) -> Iterator[dict[str, Any]]:
    since = begun
    for start in range(0, len(lines), thousand):
        part = lines[start : start + thousand]
        until = part[-1]["time"]
        first, last = nearest_sample(samples, since), nearest_sample(samples, until)
        row: dict[str, Any] = {"trials": start + len(part), "trials/s": len(part) / max(until - since, 1e-9)}
        for step in ("take", "suggest", "report", "prune", "end"):
            clock, cpu = (sum(line["spent"].get(step, (0, 0))[i] for line in part) / len(part) for i in (0, 1))
            row |= {f"{step} CPU": round(cpu, 1), f"{step} clock": round(clock)}
        row["workers' CPU ms"] = round(1000 * (last[1] - first[1]) / len(part), 1)
        row["server's CPU ms"] = round(1000 * (last[2] - first[2]) / len(part), 1)
        row["a worker's MB"] = round(last[3] / 1e6)
        yield row
        since = until


def nearest_sample(samples: Sequence[Sample], when: float) -> Sample:
    return min(samples, key=lambda sample: abs(sample[0] - when))


def whole(
    found: Sequence[optuna.trial.FrozenTrial],
    lines: Sequence[Mapping[str, Any]],
    begun: float,
    samples: Sequence[Sample],
    served: float,
) -> dict[str, Any]:
    seconds = lines[-1]["time"] - begun
    states = [trial.state.name for trial in found]
    modelled = sum(MODELLED in trial.system_attrs for trial in found)
    return {
        "trials": len(found),
        "COMPLETE": states.count("COMPLETE"),
        "PRUNED": states.count("PRUNED"),
        "drawn by the model": modelled,
        "seconds": round(seconds, 1),
        "trials/s": len(found) / seconds,
        "workers' CPU s": round(samples[-1][1], 1),
        "server's CPU s": round(served, 1),
    }


@contextmanager
def store(kind: str, folder: Path) -> Iterator[tuple[str, psutil.Process | None]]:
    """The URL of an empty store, and the process of its server."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/studies.db", None
        return
    server = PostgresServer(folder / "pg")
    server.folder.mkdir()
    folder.chmod(0o755)
    with server:
        server.start("-cmax_connections=500", "-cshared_buffers=256MB")
        assert server._process is not None
        yield server.url(), psutil.Process(server._process.pid)


@contextmanager
def proxy(url: str | None) -> Iterator[int]:
    """Optuna's proxy server before the store, in another process -> its port."""
    if url is None:
        yield 0
        return
    port = free_port()
    program = (
        "import sys, optuna; from smart_tuner.store.storage import open_storage; "
        "optuna.storages.run_grpc_proxy_server(open_storage(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, url, str(port)], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def work(task: Work) -> None:
    quiet()
    steps = Steps(Path(task.folder) / f"steps-{os.getpid()}")
    spec = idle_study(REPORTS, task.trials)
    if task.way == "tuner":
        time_steps(steps)
        run_study(spec, Scheduled(spec, task.seconds), Path(task.folder), task.slots, storage=task.url)
    else:
        plain(task, spec, steps)


def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # TPE's `group`, the proxy
    warnings.filterwarnings("ignore", "Heartbeat of storage", UserWarning)  # plain `ask` sends none


def time_steps(steps: Steps) -> None:
    for name, (owner, call) in STEPS.items():
        setattr(owner, call.__name__, steps.timed(name, call))
    run = TrialLoop.run

    def run_and_note(self: TrialLoop, trial: optuna.Trial, slot: Slot) -> Outcome:
        try:
            return run(self, trial, slot)
        finally:
            steps.end()

    TrialLoop.run = run_and_note  # type: ignore[method-assign]


STEPS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "take": (Queue, Queue.take),
    "suggest": (smart_tuner.run.trial, suggest),
    "report": (TrialLoop, TrialLoop._report),
    "prune": (TrialLoop, TrialLoop._stop_request),
    "end": (TrialLoop, TrialLoop._settle),
}


@dataclass(frozen=True)
class Scheduled:
    """An executor whose trials are schedules of events, without processes."""

    spec: StudySpec
    seconds: float
    runs_may_wait = True

    def capacity(self, demand: Demand) -> Capacity:
        jobs = demand.jobs or 1
        return Capacity(jobs, 1, ("cpu",) * jobs)

    def admission(self, capacity: Capacity, preset: str) -> FreeAdmission:
        return FreeAdmission()

    @contextmanager
    def launch(self, launch: Launch) -> Iterator["ScheduledRun"]:
        config = json.loads(launch.run_dir.config.read_text(encoding="utf-8"))
        yield ScheduledRun(config, self.seconds)

    def close(self) -> None:
        pass


class ScheduledRun:
    def __init__(self, config: Mapping[str, Any], seconds: float) -> None:
        self._config = config
        self._pause = seconds / REPORTS
        self._asked = threading.Event()
        self.exit = Exit(ExitCode.FINISHED, "")

    def events(self) -> Iterator[Event]:
        yield Event(EventKind.STARTED, 0, 0, {"config": {}})
        # It reports no memory; before the first such report the tuner starts few trials.
        yield Event(EventKind.PROGRESS, 0, 0, {"loss": 0.0, "frames_per_second": 0.0, "memory_bytes": 0})
        lr = self._config["optimizer"]["lr"]
        guided = self._config["guided_attention"]["enabled"]
        for index in range(1, REPORTS + 1):
            if self._asked.wait(self._pause):
                self.exit = Exit(ExitCode.STOPPED, "")
                yield Event(EventKind.STOPPED, 100 * index, index, {"reason": "asked"})
                return
            yield Event(EventKind.VALIDATION, 100 * index, index, figures(lr, guided, index))
        yield Event(EventKind.FINISHED, 100 * REPORTS, REPORTS, {"seconds": 1.0})

    def stop(self) -> None:
        self._asked.set()

    def kill(self) -> None:
        self._asked.set()


def figures(lr: float, guided: bool, index: int) -> dict[str, Any]:
    """Of a validation. Loss grows with the distance of `lr` from its best; without guided attention no trial aligns."""
    loss = (1 + 0.5 * abs(math.log10(lr / 2e-3))) * (1 + 1 / index)
    return {"index": index, "best": True, "loss": loss, "alignment": min(0.9, 0.3 * index) if guided else 0.05}


def plain(task: Work, spec: StudySpec, steps: Steps) -> None:
    """Ask, suggest, report, tell, for this process's part of the trials."""
    if task.way == "proxy":
        storage: Any = optuna.storages.GrpcStorageProxy(host="127.0.0.1", port=task.port)
        storage.wait_server_ready(timeout=60)
    else:
        storage = open_storage(task.url)
    startup = spec.sampler.startup_trials
    sampler = optuna.samplers.TPESampler(n_startup_trials=startup, multivariate=True, group=True)
    study = optuna.load_study(study_name=spec.name, storage=storage, sampler=sampler)
    ask, suggested = steps.timed("take", study.ask), steps.timed("suggest", suggest)
    report, tell = steps.timed("report", optuna.Trial.report), steps.timed("end", study.tell)

    def one(_: int) -> None:
        trial = ask()
        params = suggested(trial, spec.search)
        for index in range(1, REPORTS + 1):
            time.sleep(task.seconds / REPORTS)
            loss = figures(params["optimizer.lr"], params["guided_attention.enabled"], index)["loss"]
            report(trial, loss, index)
        tell(trial, loss)
        steps.end()

    with ThreadPoolExecutor(task.slots) as pool:
        list(pool.map(one, range(task.part)))


if __name__ == "__main__":
    main()
