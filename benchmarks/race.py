"""Whether many workers share a study exactly: no trial is lost, counted twice, or delayed by a lock.

    python -m benchmarks.race [--workers 16] [--trials 200] [--seconds 1] [--store sqlite postgresql] [--json FILE]

The worker processes open the same empty store at once, wait for each other, and then run trials of one study until it
is finished. A trial is a process that sleeps for `--seconds` and reports four times. The ideal time is that of the
sleeping alone; starting the workers (imports, opening the store) is listed separately. Refusals are errors that the
store's driver raised in a worker, including those that were retried silently. Exit code 1 if a count is wrong.
"""

import argparse
import json
import logging
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, event

from benchmarks.idle_study import idle_executor, idle_study, run_study, trials_of
from tests.support.servers import PostgresServer
from trainer.protocol import EventKind, RunDir, all_events

REPORTS = 4
STORES = ("sqlite", "postgresql")
START_SECONDS = 300.0  # for all workers to be ready
LOCK_WORDS = ("database is locked", "OperationalError")
NO_REFUSAL = "already exists"  # the tables of an empty store, which all workers try to make at once


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each trial")
    parser.add_argument("--store", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--work-in", type=Path, help=argparse.SUPPRESS)  # this is one of the workers
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work_in:
        work(options.work_in, options.url, options.trials, options.seconds)
        return 0

    from benchmarks.report import table, write_results  # needs torch, which workers do without

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that workers and server end, too
    load = [os.getloadavg()[0]]
    rows = []
    for store in options.store:
        with tempfile.TemporaryDirectory(prefix="race-") as folder, store_url(store, Path(folder)) as url:
            rows.append({"store": store, **race(Path(folder) / "workspace", url, options)})
    load.append(os.getloadavg()[0])
    print(table(rows))
    print(f"load of the machine before and after: {load[0]:.1f} {load[1]:.1f}")
    if options.json:
        write_results(options.json, {"races": rows, "load": load}, vars(options))
    return int(any(row["off"] for row in rows))


@contextmanager
def store_url(store: str, folder: Path) -> Iterator[str]:
    """The URL of an empty store, which is deleted after the block."""
    if store == "sqlite":
        yield f"sqlite:///{folder}/studies.db"
        return
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as short, PostgresServer(Path(short) / "s") as server:
        server.folder.mkdir()
        server.start("-cmax_connections=500")
        yield server.url()


def race(workspace: Path, url: str, options: argparse.Namespace) -> dict[str, Any]:
    workspace.mkdir(parents=True)
    begun = time.time()
    command = [sys.executable, "-m", "benchmarks.race", "--work-in", str(workspace), "--url", url]
    command += ["--trials", str(options.trials), "--seconds", str(options.seconds)]
    logs = [workspace / f"worker-{i}.log" for i in range(options.workers)]
    workers: list[subprocess.Popen[bytes]] = []
    try:
        workers += (start(command, log) for log in logs)
        await_all(workspace, workers, logs)
        go = time.time()
        (workspace / "go").touch()
        codes = [worker.wait() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    left = time.time() - go
    texts = [log.read_text(encoding="utf-8") for log in logs]
    ready = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(workspace.glob("ready-*.json"))]
    ended, off = outcome(workspace, url, options.trials, codes)
    lines = [line for text in texts for line in text.splitlines() if NO_REFUSAL not in line]
    refusals = [line for line in lines if any(word in line for word in LOCK_WORDS)]
    if refusals:
        off.append(f"{len(refusals)} refusals, such as: {refusals[0][:200]}")
    ideal = options.seconds * math.ceil(options.trials / options.workers)
    return {
        "workers": options.workers,
        "trials": options.trials,
        "finished": ended["trials"],
        "refusals": len(refusals),
        "wall s": round(ended["last"] - go, 2),
        "ideal s": ideal,
        "trial's median s": ended["median"],
        "workers gone s": round(left, 2),
        "starting the workers s": round(go - begun, 2),
        "of one, CPU s": round(statistics.median(one["cpu"] for one in ready), 2),
        "off": "; ".join(off),
    }


def start(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file)


def await_all(workspace: Path, workers: Sequence["subprocess.Popen[bytes]"], logs: Sequence[Path]) -> None:
    """Wait until every worker has opened the store. Exits if one of them ends before."""
    deadline = time.monotonic() + START_SECONDS
    while len(list(workspace.glob("ready-*.json"))) < len(workers):
        gone = [log for worker, log in zip(workers, logs, strict=True) if worker.poll() is not None]
        if gone or time.monotonic() > deadline:
            for worker in workers:
                worker.kill()
            sys.exit(f"not all workers became ready:\n{(gone or logs)[0].read_text(encoding='utf-8')[-3000:]}")
        time.sleep(0.02)


def outcome(workspace: Path, url: str, trials: int, codes: Sequence[int]) -> tuple[dict[str, Any], list[str]]:
    """Figures of the study in the store, and which counts are wrong, in the store and in the workspace."""
    found = trials_of(url, "quickstart")
    off = [f"worker ended with exit code {code}" for code in codes if code]
    states = Counter(trial.state.name for trial in found)
    if states != {"COMPLETE": trials}:
        off.append(f"states {dict(states)}")
    if [trial.number for trial in found] != list(range(trials)):
        off.append("numbers")
    if any(len(trial.intermediate_values) != REPORTS for trial in found):
        off.append("reports")
    folders = list((workspace / "runs" / "quickstart").glob("trial-*"))
    starts = [sum(e.kind is EventKind.STARTED for e in all_events(RunDir(folder).events)) for folder in folders]
    if starts != [1] * trials:
        off.append(f"started {Counter(starts)}")
    ends = [all_events(RunDir(folder).events)[-1].time for folder in folders]
    seconds = [trial.duration.total_seconds() for trial in found if trial.duration is not None]
    return {"trials": states["COMPLETE"], "last": max(ends), "median": round(statistics.median(seconds), 2)}, off


def work(workspace: Path, url: str, trials: int, seconds: float) -> None:
    """One worker. Whatever its store's driver refuses goes to its log, though it may be tried again in silence."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    event.listen(Engine, "handle_error", note)
    spec = idle_study(REPORTS, trials, pruner={"kind": "none"})  # each trial is to end COMPLETE

    @contextmanager
    def when_all_are_ready() -> Iterator[None]:
        ready = workspace / f"ready-{os.getpid()}.json"
        ready.with_suffix(".tmp").write_text(json.dumps({"cpu": time.process_time()}), encoding="utf-8")
        ready.with_suffix(".tmp").rename(ready)
        while not (workspace / "go").exists():
            time.sleep(0.005)
        yield

    executor = idle_executor(REPORTS, seconds)
    run_study(spec, executor, workspace, 1, storage=url, counted=when_all_are_ready())


def note(context: sqlalchemy.engine.ExceptionContext) -> None:
    logging.warning("refused: %s: %s", type(context.original_exception).__name__, context.original_exception)


if __name__ == "__main__":
    sys.exit(main())
