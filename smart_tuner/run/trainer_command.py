"""Runs a command of the trainer that is no trial, as a process of its own, and shows its progress.

The trainer prints one JSON object per line: how far it is, and in the end its result.
"""

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from smart_tuner.errors import SmartTunerError, UserError
from smart_tuner.masking import without_secrets
from smart_tuner.terminal.screen import can_redraw, print_line
from trainer.protocol import ExitCode

GRACE_SECONDS = 3.0
LINE_SECONDS = 60.0  # between two lines of progress in a log


def run_trainer(
    arguments: Sequence[str],
    console: Console,
    *,
    task: str,
    interrupted: str,
    refused: type[UserError] = UserError,
) -> Mapping[str, Any]:
    """Run `python -m trainer ARGUMENTS`; return the object of its last line, which is no progress.

    task: what fails, for the error. interrupted: what to print on Ctrl-C. Raises `refused` with the trainer's own
    message for bad input, and SmartTunerError where it fails otherwise.
    """
    # -P: a folder called `trainer` in the working directory must not be imported in place of ours.
    command = [sys.executable, "-P", "-m", "trainer", "--progress", "json", "--tied", *arguments]
    # A session of its own: Ctrl-C in the terminal reaches only us, and we end it. Tied: it ends when we are gone.
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",  # a library may write names of files in another encoding
        start_new_session=True,
        env=without_secrets(os.environ),
    ) as process:
        try:
            result, complaints = _follow(process, console)
        except KeyboardInterrupt:
            console.print(interrupted, highlight=False)
            raise
        finally:
            _end(process)
    if process.returncode == ExitCode.BAD_INPUT:
        raise refused(complaints)
    if process.returncode != ExitCode.FINISHED:
        raise SmartTunerError(f"{task} failed (exit code {process.returncode}):\n{complaints}")
    return result


def _end(process: subprocess.Popen[str]) -> None:
    """Give it a moment to remove unfinished files, then kill it; a second Ctrl-C kills it at once."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()


def _follow(process: subprocess.Popen[str], console: Console) -> tuple[dict[str, Any], str]:
    """Wait for its end; return its result, and what it wrote to standard error."""
    assert process.stdout is not None
    assert process.stderr is not None
    complaints: deque[str] = deque(maxlen=120)
    reader = Thread(target=_collect, args=(process.stderr, complaints), daemon=True)
    reader.start()
    result: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    moves = can_redraw(console)
    printed = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not moves) as progress:
        tasks: dict[str, Any] = {}
        for line in process.stdout:
            message = json.loads(line)
            if "what" not in message:
                result = message
                continue
            what = message["what"]
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=message["total"])
            progress.update(tasks[what], completed=message["done"])
            if not moves and time.monotonic() - printed >= LINE_SECONDS:
                printed = time.monotonic()
                print_line(console, f"{what}: {message['done']} of {message['total']}")
    process.wait()
    reader.join()
    return result, "".join(complaints).strip()


def _collect(stream: IO[str], lines: deque[str]) -> None:
    with suppress(ValueError):  # the stream was closed, since nobody waits for the process any longer
        lines.extend(stream)
