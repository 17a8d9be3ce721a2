"""The process of one page: `python -m smart_tuner.ui.page_process mlflow 127.0.0.1 5000 [HOST NAME ...]`.

It reads from the settings, and so from the environment, what it shows, so that no password is in a command line. It
exits, with all that it started, when its standard input is closed: the process that started it has the other end.
"""

import os
import runpy
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from smart_tuner.config import Settings, load_settings
from smart_tuner.masking import masked_answer
from smart_tuner.ui import Page


def main() -> None:
    page, host, port, *names = sys.argv[1:]
    threading.Thread(target=_exit_with_stdin, name="watch-stdin", daemon=True).start()
    settings = load_settings()
    sys.excepthook = partial(_print_without_secrets, settings)
    _SERVERS[Page(page)](settings, host, port, names)


def _print_without_secrets(settings: Settings, *error: Any) -> None:
    text = "".join(traceback.format_exception(*error))
    print(masked_answer(text, settings.storage_url, settings.mlflow_url), file=sys.stderr)


def _exit_with_stdin() -> None:
    """Kill the whole process group at the end of standard input: MLflow's server is a child of its command."""
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _optuna(settings: Settings, host: str, port: str, names: Sequence[str]) -> None:
    from smart_tuner.ui.dashboard import serve

    serve(settings.storage_url, settings.artifact_folder, host, int(port), names)


def _mlflow(settings: Settings, host: str, port: str, names: Sequence[str]) -> None:
    from smart_tuner.mlflow_mirror.relocation import ARTIFACTS, relocate_artifacts
    from smart_tuner.mlflow_mirror.run_lookup import connect

    with suppress(sqlite3.OperationalError):  # a read-only store can still be shown
        relocate_artifacts(settings.mlflow_url)
    # Turns telemetry off, and creates a missing store completely or not at all, unlike the server.
    connect(settings.mlflow_url)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # processes that a tuner does not need
    os.environ["MLFLOW_BACKEND_STORE_URI"] = settings.mlflow_url
    options = ["--host", host, "--port", port, "--workers", "1", "--uvicorn-opts", "--no-access-log"]
    if names:
        options += ["--allowed-hosts", ",".join(each for name in names for each in (name, f"{name}:*"))]
    # In this process, as `python -m` does.
    sys.argv = ["mlflow", "server", *options, "--artifacts-destination", str(settings.workspace / ARTIFACTS)]
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)


def _tensorboard(settings: Settings, host: str, port: str, names: Sequence[str]) -> None:
    from smart_tuner.ui.tensorboard import serve

    serve(settings.workspace / "logs", host, int(port), names)


_SERVERS = {Page.OPTUNA: _optuna, Page.MLFLOW: _mlflow, Page.TENSORBOARD: _tensorboard}


if __name__ == "__main__":
    main()
