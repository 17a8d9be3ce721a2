"""Whether a tuner that runs for long among faults grows: its memory, open files, threads and CPU.

    python -m benchmarks.soak --hours 1

A worker with two slots runs short trials with the fake trainer (tests/support/fake_trainer.py), SQLite and the MLflow
mirror. At random moments trainers are killed or stopped (SIGSTOP), their checkpoints damaged and their records cut;
some trials crash, flood their logs or write garbage by themselves.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks.report import ROOT, table, write_results
from smart_tuner.config import Settings
from smart_tuner.errors import SmartTunerError, exit_code
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.main import SmartTunerMain
from smart_tuner.run.worker import run_worker
from smart_tuner.spec import parse_study

FAKE_TRAINER = (sys.executable, str(ROOT / "tests" / "support" / "fake_trainer.py"))
SAMPLE_SECONDS = 5.0
ACTS = ("killed", "crash", "flood", "garbage events", "truncate", "torn", "child", "diverged", "memory", "deaf")
FAULTS = ("kill", "stop", "tear", "cut")  # of a trainer, caused from outside
STUDY: dict[str, Any] = {
    "name": "soak",
    "corpus": "demo:en:24",
    "preset": "tiny",
    "budget": {"frames": 10_000, "reports": 10},
    "search": {
        "optimizer.lr": {"type": "float", "low": 5e-4, "high": 5e-3, "log": True},
        "guided_attention.enabled": {"type": "categorical", "choices": [True, False]},
    },
    "sampler": {"seed": 1},
    "limits": {"silent_minutes": 0.25},
    "trials": 100_000,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", type=Path, help="write the figures there; `python -m benchmarks.plot` draws them")
    parser.add_argument("--work-in", type=Path, help=argparse.SUPPRESS)  # this is the tuner
    options = parser.parse_args()
    if options.work_in:
        work(options.work_in)
        return
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        samples, faults, states = soak(Path(folder), options.hours * 3600, random.Random(options.seed))
    rows = summary(samples)
    print(table(rows))
    print(f"faults from outside: {faults}; trials: {states}")
    if options.json:
        results = {"samples": samples, "rows": rows, "strikes": faults, "states": states}
        write_results(options.json, results, {"hours": options.hours, "seed": options.seed})


def work(folder: Path) -> None:
    """Run the tuner in this process, until SIGINT."""
    settings = Settings(workspace=folder, jobs=2, device="cpu")
    console = Console(file=(folder / "tuner.log").open("a"), width=200)
    SmartTunerMain(parse_study(STUDY, "soak"), settings=settings, console=console).submit()
    try:
        run_worker(settings, LocalExecutor(3.0, FAKE_TRAINER), console, ["soak"])
    except SmartTunerError as error:
        raise SystemExit(exit_code(error)) from error


def soak(folder: Path, seconds: float, chance: random.Random) -> tuple[list[dict[str, float]], dict[str, int], Any]:
    """Samples of the tuner, the number of faults of each kind, and of trials in each state."""
    orders = {str(n): misbehaviour(chance) for n in range(5000) if chance.random() < 0.25}
    command = [sys.executable, "-m", "benchmarks.soak", "--work-in", str(folder)]
    environment = {**os.environ, "FAKE_TRAINER": json.dumps({**orders, "*": {"pause": 1.0}})}
    with (folder / "errors.log").open("wb") as errors:
        tuner = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=errors)
    process = psutil.Process(tuner.pid)
    began = time.monotonic()
    samples: list[dict[str, float]] = []
    faults = dict.fromkeys(FAULTS, 0)
    next_fault = 30.0
    while (now := time.monotonic() - began) < seconds:
        if tuner.poll() is not None:
            raise SystemExit(f"the tuner ended with {tuner.returncode}:\n{(folder / 'errors.log').read_text()[-3000:]}")
        if now > next_fault:
            next_fault = now + chance.uniform(2, 12)
            if (done := cause_fault(folder, chance)) is not None:
                faults[done] += 1
        if now >= len(samples) * SAMPLE_SECONDS:
            samples.append(sample(process, now, folder))
        time.sleep(0.2)
    tuner.send_signal(signal.SIGINT)
    code = tuner.wait(120)
    left = trainers(folder)
    if code != 130 or left:
        raise SystemExit(f"the tuner ended with {code}, and these trainers remain: {left}")
    settings = Settings(workspace=folder, mlflow=False)
    return samples, faults, dict(SmartTunerMain(parse_study(STUDY, "soak"), settings=settings).result().states)


def misbehaviour(chance: random.Random) -> dict[str, Any]:
    """A fault of a trial itself, once, so that its second attempt succeeds."""
    act = chance.choice(ACTS)
    return {"pause": 1.0, "at": chance.randint(1, 9), "act_once": [act]}


def cause_fault(folder: Path, chance: random.Random) -> str | None:
    """Cause a fault of a running trainer -> its kind; None if no trainer runs."""
    at_work = trainers(folder)
    if not at_work:
        return None
    pid, run = chance.choice(at_work)
    what = chance.choice(FAULTS)
    with suppress(OSError):
        if what == "kill":
            os.kill(pid, signal.SIGKILL)
        elif what == "stop":
            os.kill(pid, signal.SIGSTOP)  # for good: the tuner kills it because it is silent
        elif what == "tear":
            (run / "checkpoints" / "last.pt").write_bytes(b"torn")
        else:
            os.truncate(run / "events.jsonl", (run / "events.jsonl").stat().st_size // 2)
    return what


def trainers(folder: Path) -> list[tuple[int, Path]]:
    """Fake trainers that run below `folder`, found by their output, and their trial directories."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if FAKE_TRAINER[1] in (process.info["cmdline"] or []):
            with suppress(OSError):
                output = Path(f"/proc/{process.pid}/fd/1").readlink()
                if folder in output.parents:
                    found.append((process.pid, output.parent))
    return found


def sample(process: psutil.Process, now: float, folder: Path) -> dict[str, float]:
    with process.oneshot():
        memory = process.memory_full_info().uss
        cpu = process.cpu_times()
        trials = len(list((folder / "runs" / "soak").glob("trial-*")))
        return {
            "minutes": round(now / 60, 2),
            "MB": round(memory / 1e6, 1),
            "files": process.num_fds(),
            "threads": process.num_threads(),
            "CPU s": round(cpu.user + cpu.system, 1),
            "trials": trials,
        }


def summary(samples: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Means of each sixth of the time."""
    sixth = max(1, len(samples) // 6)
    rows = []
    for part in [samples[i : i + sixth] for i in range(0, sixth * 6, sixth)]:
        if part:
            row = {name: round(sum(s[name] for s in part) / len(part), 1) for name in ("MB", "files", "threads")}
            used = part[-1]["CPU s"] - part[0]["CPU s"]
            spent = 60 * (part[-1]["minutes"] - part[0]["minutes"]) or 1
            share = round(100 * used / spent, 1)
            rows.append({"until minute": part[-1]["minutes"], **row, "CPU %": share, "trials": part[-1]["trials"]})
    return rows


if __name__ == "__main__":
    main()
