"""Whether the mirror in MLflow is exact, also after faults of its server, and what it costs the trials.

    python -m benchmarks.mlflow_mirror [--only study repair outages slowdown] [--pairs 2] [--json FILE]

study     40 trials, 4 at a time, beside an MLflow server; then `mlflow_comparison` compares every run with its trial
repair    `smart-tuner sync --repair` writes the same study to an empty server, and it is compared; a second repair
          must change nothing
outages   another study, during which the server is killed twice, and a proxy before it answers 500 for a minute
slowdown  the same trials with and without such a mirror, in turns (ABBA), `--pairs` times: how much later the last
          trial ends. The trials' work is fixed: `--megabytes` keeps all cores busy, `--pause` simulates a GPU at work

Each study is run by a tuner process; its trials (benchmarks/scripted_trainer.py) write 200 progress reports and 20
validations. All servers are on this machine, which they share with the trials; their CPU time is printed, too. It
depends on the number of reports, not on how long the trials take.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psutil

from benchmarks.idle_study import idle_study, run_study, trials_of
from benchmarks.report import ROOT, table, write_results
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.mlflow_mirror.run_lookup import connect

PARTS = ("study", "repair", "outages", "slowdown")
UPDATES = 200
REPORTS = 20
MIRROR = "smart_tuner.mlflow_mirror.process"
HOP_BY_HOP = ("Host", "Connection", "Transfer-Encoding")  # headers that a proxy does not pass on
DOWN_SECONDS = 15.0
REFUSED_SECONDS = 60.0


@dataclass(frozen=True)
class Outages:
    """The shares of finished trials at which each outage begins."""

    kills: tuple[float, ...] = (0.2, 0.5)
    refusals: float = 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--megabytes", type=int, default=20, help="digested between two updates, the trials' work")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two updates, as while a GPU works")
    parser.add_argument("--pairs", type=int, default=2, help="of studies with the mirror and without")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--work-in", type=Path, help=argparse.SUPPRESS)  # be the tuner
    parser.add_argument("--tracking-uri", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work_in:
        work(options)
        return
    results: dict[str, Any] = {}
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        for part in options.only:
            began = time.monotonic()
            results[part] = RUN[part](Path(folder), options)
            print(f"{part} ({time.monotonic() - began:.0f} s): {json.dumps(results[part])}", flush=True)
    load.append(os.getloadavg()[0])
    print(f"load of the machine before and after: {load[0]:.1f} {load[1]:.1f}")
    if options.json:
        write_results(options.json, {**results, "load": load}, vars(options))


def work(options: argparse.Namespace) -> None:
    """Run the tuner of one study, in this process."""
    command = (sys.executable, "-I", "-S", str(Path(__file__).with_name("scripted_trainer.py")))
    arguments = (str(UPDATES), str(REPORTS), str(options.megabytes), str(options.pause))
    states = run_study(
        idle_study(REPORTS, options.trials),
        LocalExecutor(command=(*command, *arguments), standby=False),
        options.work_in,
        options.jobs,
        mlflow=options.tracking_uri is not None,
        tracking_uri=options.tracking_uri,
    )
    print(json.dumps(states))


class Server:
    """An MLflow server with its own store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.cpu = 0.0  # seconds, of the processes killed so far
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        connect(f"sqlite:///{folder}/server.db")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log").open("ab") as log:
            # Without its processes for jobs, each of which imports MLflow; there are no jobs here.
            environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
        while True:
            try:
                with urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                if self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.2)

    def kill(self) -> None:
        assert self._process is not None
        self.cpu += cpu_of(psutil.Process(self._process.pid))
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Proxy:
    """Passes requests to a server; while `refuses`, it answers all of them with status 500."""

    def __init__(self, target: str) -> None:
        self.refuses = False
        self.refused = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(target))
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def _handler(self, target: str) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.refuses:
                    proxy.refused += 1
                    self.answer(500, {}, b"out of order")
                    return
                kept = {name: value for name, value in self.headers.items() if name not in HOP_BY_HOP}
                request = Request(target + self.path, body or None, kept, method=self.command)
                try:
                    with urlopen(request, timeout=30) as answer:
                        self.answer(answer.status, answer.headers, answer.read())
                except HTTPError as error:
                    self.answer(error.code, error.headers, error.read())
                except (URLError, OSError):
                    self.close_connection = True  # no answer, as without a proxy

            def answer(self, status: int, headers: Mapping[str, str] | Message, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", headers.get("Content-Type", "text/plain"))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def begin(workspace: Path, options: argparse.Namespace, tracking_uri: str | None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.mlflow_mirror", "--work-in", str(workspace)]
    for name in ("trials", "jobs", "megabytes", "pause"):
        command += [f"--{name}", str(getattr(options, name))]
    command += ["--tracking-uri", tracking_uri] if tracking_uri else []
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def follow(tuner: "subprocess.Popen[str]", look: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Wait for the tuner's end -> the states of its trials, and the CPU time of the mirror's process."""
    process = psutil.Process(tuner.pid)
    mirror = 0.0
    while tuner.poll() is None:
        look()
        mirror = max([mirror, *(cpu_of(child) for child in children(process) if is_mirror(child))])
        time.sleep(0.5)
    if tuner.returncode != 0:
        raise SystemExit(f"the tuner ended with {tuner.returncode}")
    assert tuner.stdout is not None
    return {"states": json.loads(tuner.stdout.read()), "mirror's CPU s": round(mirror, 1)}


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []


def is_mirror(process: psutil.Process) -> bool:
    try:
        return MIRROR in process.cmdline()
    except psutil.Error:
        return False


def cpu_of(process: psutil.Process) -> float:
    """Seconds, including its children's."""
    try:
        times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    except psutil.Error:
        return 0.0
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def study(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    server = Server(folder / "first")
    server.start()
    try:
        done = follow(begin(folder / "study", options, server.url))
        seen = {
            **done,
            "wall s": round(wall_seconds(folder / "study"), 1),
            **differences_of(folder / "study", server.url),
        }
    finally:
        server.kill()
    return {**seen, "server's CPU s": round(server.cpu, 1)}


def repair(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    workspace = folder / "study"
    if not workspace.exists():
        follow(begin(workspace, options, None))
    server = Server(folder / "empty")
    server.start()
    try:
        began = time.monotonic()
        messages = [sync(workspace, server.url, "--repair")]
        seconds = time.monotonic() - began
        found = differences_of(workspace, server.url)
        messages += [sync(workspace, server.url, "--repair"), sync(workspace, server.url)]
        return {"said": messages, "seconds": round(seconds, 1), **found}
    finally:
        server.kill()


def outages(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    with server_with_outages(folder / "troubled") as (server, proxy, trouble):
        tuner = begin(folder / "outages", options, proxy.url)
        done = follow(tuner, lambda: trouble(finished(folder / "outages") / options.trials))
        seen = {"kills": 2, "requests refused": proxy.refused, **done}
        return {
            **seen,
            "wall s": round(wall_seconds(folder / "outages"), 1),
            **differences_of(folder / "outages", server.url),
        }


def slowdown(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """In the order ABBA, so that a drift of the machine affects both."""
    walls: dict[bool, list[float]] = {True: [], False: []}
    mirror = server_cpu = 0.0
    order = [True, False, False, True] * ((options.pairs + 1) // 2)
    for turn, mirrored in enumerate(order[: 2 * options.pairs]):
        workspace = folder / f"turn-{turn}"
        if mirrored:
            with server_with_outages(folder / f"server-{turn}") as (server, proxy, trouble):
                at = lambda share=workspace: trouble(finished(share) / options.trials)  # noqa: E731
                mirror += follow(begin(workspace, options, proxy.url), at)["mirror's CPU s"]
            server_cpu += server.cpu
        else:
            follow(begin(workspace, options, None))
        walls[mirrored].append(wall_seconds(workspace))
        print(f"  {'with' if mirrored else 'without'} MLflow: {walls[mirrored][-1]:.1f} s", flush=True)
    ratios = [a / b for a, b in zip(walls[True], walls[False], strict=True)]
    rows = [{"with MLflow, s": a, "without, s": b, "ratio": a / b} for a, b in zip(*walls.values(), strict=True)]
    print(table(rows))
    cores = os.cpu_count() or 1
    return {
        "with": [round(wall, 2) for wall in walls[True]],
        "without": [round(wall, 2) for wall in walls[False]],
        "ratio": round(statistics.mean(ratios), 4),
        "standard error": round(statistics.stdev(ratios) / len(ratios) ** 0.5, 4) if len(ratios) > 1 else None,
        "mirror's CPU, share of all cores": round(mirror / (cores * sum(walls[True])), 4),
        "server's CPU, share of all cores": round(server_cpu / (cores * sum(walls[True])), 4),
    }


@contextmanager
def server_with_outages(folder: Path) -> Iterator[tuple[Server, Proxy, Callable[[float], None]]]:
    """A server, its proxy, and a function that causes the outages; call it with the share of finished trials.

    At the end the server answers again."""
    server = Server(folder)
    plan = Outages()
    server.start()
    proxy = Proxy(server.url)
    pending = list(plan.kills)
    at_work = list[threading.Thread]()
    refusal = [plan.refusals]

    def kill() -> None:
        server.kill()
        time.sleep(DOWN_SECONDS)
        server.start()

    def refuse() -> None:
        proxy.refuses = True
        time.sleep(REFUSED_SECONDS)
        proxy.refuses = False

    def trouble(share: float) -> None:
        if any(thread.is_alive() for thread in at_work):
            return
        for plan, act in ((pending, kill), (refusal, refuse)):
            if plan and share >= plan[0]:
                plan.pop(0)
                at_work.append(threading.Thread(target=act))
                at_work[-1].start()
                return

    try:
        yield server, proxy, trouble
    finally:
        for thread in at_work:
            thread.join()
        server.kill()


def finished(workspace: Path) -> int:
    """The number of trials with a final event, read from their records so that the tuner is not disturbed."""
    endings = (b'"finished"', b'"stopped"', b'"failed"')
    records = workspace.glob("runs/*/trial-*/events.jsonl")
    return sum(any(word in record.read_bytes()[-300:] for word in endings) for record in records)


def wall_seconds(workspace: Path) -> float:
    """From the first trial's start to the last one's end."""
    trials = trials_of(f"sqlite:///{workspace}/studies.db", idle_study(REPORTS, 1).name)
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    return (max(ends) - min(starts)).total_seconds()


def differences_of(workspace: Path, tracking_uri: str) -> dict[str, Any]:
    """The result of `mlflow_comparison`."""
    command = [sys.executable, "-m", "benchmarks.mlflow_comparison", "--storage", f"sqlite:///{workspace}/studies.db"]
    command += ["--study", idle_study(REPORTS, 1).name, "--workspace", str(workspace), "--tracking-uri", tracking_uri]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr)
    *differences, last = done.stdout.strip().splitlines()
    print(*[f"  {line}" for line in differences if line], sep="\n", end="\n" if any(differences) else "")
    found: dict[str, Any] = json.loads(last)
    return found


def sync(workspace: Path, tracking_uri: str, *options: str) -> str:
    command = [sys.executable, "-m", "smart_tuner", "sync", "--workspace", str(workspace), *options]
    command += ["--tracking-uri", tracking_uri]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip().rpartition(": ")[2]


def free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        return int(probe.server_address[1])


RUN: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "study": study,
    "repair": repair,
    "outages": outages,
    "slowdown": slowdown,
}


if __name__ == "__main__":
    main()
