"""A worker process for the fault campaign, with short timeouts, on a machine of a given name.

Its argument is JSON: workspace, storage, jobs, machine, heartbeat, grace, watch, stop_grace, command. If the
environment names a file CLOCK_SHIFT, the clock of the process is shifted by the seconds in that file (see
shifted_clock.c), and so is the boot time that the kernel reports.
"""

import json
import logging
import os
import struct
import sys
import traceback
from pathlib import Path

import optuna
import psutil
import pytest
from rich.console import Console
from tuner_process import no_corpus

from smart_tuner.config import Settings
from smart_tuner.errors import SmartTunerError, exit_code
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.machine.process_identity import this_machine
from smart_tuner.run.worker import run_worker

REPLACED = pytest.MonkeyPatch()  # raises for a name that does not exist; nothing is undone


def shorten_timeouts(heartbeat: int, grace: int, watch: float) -> None:
    values = {
        "run.corpus.prepare_corpus": no_corpus,
        "store.storage.HEARTBEAT_SECONDS": heartbeat,
        "run.pool.HEARTBEAT_SECONDS": heartbeat,
        "store.storage.GRACE_SECONDS": grace,
        "store.owners.GRACE_SECONDS": grace,
        "run.pool.WATCH_SECONDS": watch,
        "run.pool.SPACE_SECONDS": 0.5,
        "run.worker.LOOK_SECONDS": 0.3,
    }
    for name, value in values.items():
        REPLACED.setattr(f"smart_tuner.{name}", value)


def set_machine(name: str) -> None:
    here = this_machine()
    REPLACED.setattr("smart_tuner.machine.process_identity.this_machine", lambda: f"{name} {here}")


def shift_boot_time(file: Path) -> None:
    boot_time = psutil._pslinux.boot_time

    def shifted() -> float:
        shift: float = struct.unpack("d", file.read_bytes())[0]
        return boot_time() + shift

    REPLACED.setattr(psutil._pslinux, "boot_time", shifted)


def main(argument: str) -> int:
    options = json.loads(argument)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shorten_timeouts(options["heartbeat"], options["grace"], options["watch"])
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
        run_worker(settings, executor, Console(file=sys.stdout), stay=True)
    except SmartTunerError as error:
        print(error, file=sys.stderr)
        return exit_code(error)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
