"""A worker in a process of its own, for the fault campaign: quick to find others dead, on a machine of any name.

Its argument is JSON: workspace, storage, jobs, machine, heartbeat, grace, stop_grace, command. Where the environment
names a file CLOCK_SHIFT, the whole process lives by a clock that is off by so many seconds (see shifted_clock.c), and
so does what is computed from the time at which the kernel says that it was booted.
"""

import json
import logging
import os
import struct
import sys
import traceback
from pathlib import Path
from typing import Any

import optuna
import psutil
from rich.console import Console

import smart_tuner.run.corpus
import smart_tuner.run.pool
import smart_tuner.run.worker
import smart_tuner.store.queue
import smart_tuner.store.storage
from smart_tuner.config import Settings
from smart_tuner.errors import SmartTunerError, exit_code
from smart_tuner.executors.local import LocalExecutor


def be_quick(told: dict[str, Any]) -> None:
    from tune import no_corpus

    smart_tuner.run.corpus.prepare_corpus = no_corpus  # type: ignore[attr-defined]
    smart_tuner.store.storage.HEARTBEAT_SECONDS = smart_tuner.run.pool.HEARTBEAT_SECONDS = told["heartbeat"]
    smart_tuner.store.storage.GRACE_SECONDS = smart_tuner.store.queue.GRACE_SECONDS = told["grace"]
    smart_tuner.run.pool.WATCH_SECONDS = 0.2
    smart_tuner.run.pool.SPACE_SECONDS = 0.5
    smart_tuner.run.worker.LOOK_SECONDS = 0.3


def be_on(machine: str) -> None:
    here = smart_tuner.store.queue._this_machine()
    smart_tuner.store.queue._this_machine = lambda: f"{machine} {here}"


def live_by_another_clock(file: Path) -> None:
    booted = psutil._pslinux.boot_time
    psutil._pslinux.boot_time = lambda: booted() + struct.unpack("d", file.read_bytes())[0]


def main(options: str) -> int:
    told = json.loads(options)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    be_quick(told)
    be_on(told["machine"])
    if "CLOCK_SHIFT" in os.environ:
        live_by_another_clock(Path(os.environ["CLOCK_SHIFT"]))
    settings = Settings(
        workspace=Path(told["workspace"]), storage=told["storage"], mlflow=False, jobs=told["jobs"], device="cpu"
    )
    executor = LocalExecutor(told["stop_grace"], tuple(told["command"]))
    try:
        smart_tuner.run.worker.run_worker(settings, executor, Console(file=sys.stdout), stay=True)
    except SmartTunerError as error:
        print(error, file=sys.stderr)
        return exit_code(error)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
