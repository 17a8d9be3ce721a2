"""What notifications cost a study, when Telegram answers, hangs, asks to wait or refuses; and whether its token leaks.

    python -m benchmarks.notifications [--trials 20] [--seconds 1] [--jobs 2] [--rounds 3] [--json FILE]

Runs the same study, with a trainer that does nothing and MLflow, in a process that logs everything, beside a fake
server of the Bot API. The servers take turns, `--rounds` times; medians are printed. `trials` is the time from the
first trial's start to the last one's end, `command` the time until the process has exited: at the end waiting messages
have five seconds. `token` counts the files and outputs, of all rounds, that contain the bot's token.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.idle_study import idle_executor, idle_study, run_study, trials_of
from benchmarks.report import ROOT, table, write_results
from tests.support.telegram_server import TOKEN, TelegramServer

SERVERS: dict[str, str | int | None] = {"none": None, "answers": "ok", "hangs": "hang", "429": 429, "401": 401}
RETRY_AFTER = 3
REPORTS = 5


@dataclass(frozen=True)
class Run:
    trials: float  # seconds
    command: float  # seconds
    requests: int
    accepted: int
    leaks: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each trial")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        work(options.one, options)
        return
    runs: dict[str, list[Run]] = {name: [] for name in SERVERS}
    for _ in range(options.rounds):
        for name in SERVERS:
            runs[name].append(measure(name, options))
    rows = [row(name, of, runs["none"]) for name, of in runs.items()]
    print(table(rows))
    if options.json:
        write_results(options.json, {"servers": rows}, vars(options))


def measure(name: str, options: argparse.Namespace) -> Run:
    """One study in an empty workspace, in another process."""
    mode = SERVERS[name]
    with tempfile.TemporaryDirectory() as folder, TelegramServer(mode or "ok", RETRY_AFTER) as server:
        workspace = Path(folder) / "workspace"
        command = [sys.executable, "-m", "benchmarks.notifications", "--one", str(workspace)]
        for option in ("trials", "seconds", "jobs"):
            command += [f"--{option}", str(getattr(options, option))]
        environment = os.environ | (server.environment if mode else {})
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
        seconds = time.monotonic() - began
        if done.returncode != 0:
            raise SystemExit(done.stderr.decode(errors="replace"))
        written = [path.read_bytes() for path in workspace.rglob("*") if path.is_file()]
        leaks = sum(TOKEN.encode() in content for content in [done.stdout, done.stderr, *written])
        trials = trials_of(f"sqlite:///{workspace}/studies.db", "quickstart")
        begun = [trial.datetime_start for trial in trials if trial.datetime_start]
        ended = [trial.datetime_complete for trial in trials if trial.datetime_complete]
        assert len(ended) == options.trials
        of_trials = (max(ended) - min(begun)).total_seconds()
        return Run(of_trials, seconds, len(server.received), len(server.accepted), leaks)


def work(workspace: Path, options: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.DEBUG)
    executor = idle_executor(REPORTS, options.seconds)
    run_study(idle_study(REPORTS, options.trials), executor, workspace, options.jobs, mlflow=True)


def row(name: str, runs: list[Run], without: list[Run]) -> dict[str, object]:
    trials, command = (statistics.median(getattr(run, what) for run in runs) for what in ("trials", "command"))
    return {
        "server": name,
        "trials, s": round(trials, 2),
        "ratio": round(trials / statistics.median(run.trials for run in without), 3),
        "command, s": round(command, 2),
        "requests": round(statistics.median(run.requests for run in runs)),
        "accepted": round(statistics.median(run.accepted for run in runs)),
        "token": sum(run.leaks for run in runs),
    }


if __name__ == "__main__":
    main()
