"""A worker process for the fault campaign, with short timeouts, on a machine of a given name.

Its argument is JSON: workspace, storage, jobs, machine, heartbeat, grace, stop_grace, command. Where the environment
names a file CLOCK_SHIFT, the clock of the whole process is shifted by the seconds in that file (see shifted_clock.c), and
so is everything computed from the boot time that the kernel reports.
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


def shorten_timeouts(options: dict[str, Any]) -> None:
    from tuner_process import no_corpus

    smart_tuner.run.corpus.prepare_corpus = no_corpus  # type: ignore[attr-defined]
    smart_tuner.store.storage.HEARTBEAT_SECONDS = smart_tuner.run.pool.HEARTBEAT_SECONDS = options["heartbeat"]
    smart_tuner.store.storage.GRACE_SECONDS = smart_tuner.store.queue.GRACE_SECONDS = options["grace"]
    smart_tuner.run.pool.WATCH_SECONDS = 0.2
    smart_tuner.run.pool.SPACE_SECONDS = 0.5
    smart_tuner.run.worker.LOOK_SECONDS = 0.3


def set_machine(machine: str) -> None:
    here = smart_tuner.store.queue._this_machine()
    smart_tuner.store.queue._this_machine = lambda: f"{machine} {here}"


def shift_boot_time(file: Path) -> None:
    booted = psutil._pslinux.boot_time
    psutil._pslinux.boot_time = lambda: booted() + struct.unpack("d", file.read_bytes())[0]


def main(argument: str) -> int:
    options = json.loads(argument)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shorten_timeouts(options)
    set_machine(options["machine"])
    if "CLOCK_SHIFT" in os.environ:
        shift_boot_time(Path(os.environ["CLOCK_SHIFT"]))
    settings = Settings(
        workspace=Path(options["workspace"]),
        storage=options["storage"],
        mlflow=False,
        jobs=options["jobs"],
        device="cpu",
    )
    executor = LocalExecutor(options["stop_grace"], tuple(options["command"]))
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
