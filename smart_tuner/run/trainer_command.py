"""Runs a command of the trainer that is no trial, as a process of its own, and shows its progress.

The trainer prints one JSON object per line: how far it is, and in the end its result.
"""

import json
import math
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread, Timer
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from smart_tuner.child_environment import Child, environment_for
from smart_tuner.errors import SmartTunerError, UserError
from smart_tuner.terminal.screen import can_redraw, print_line
from trainer.protocol import ExitCode

GRACE_SECONDS = 3.0
LINE_SECONDS = 15.0  # between two lines of progress in a log


def run_trainer(
    arguments: Sequence[str],
    console: Console,
    *,
    task: str,
    interrupted: str,
    refused: type[UserError] = UserError,
    corpus_hint: str = "",
    seconds: float = math.inf,
    on_result: Callable[[Mapping[str, Any]], None] = lambda result: None,
) -> Mapping[str, Any]:
    """Run `python -m trainer ARGUMENTS`; return the object of its last line, which is no progress.

    task: what it does, for the log and the error. interrupted: what to print on Ctrl-C. corpus_hint: what to add to the
    message where the corpus is at fault. seconds: after which it is killed. on_result: called with each object that is
    no progress, which is what there is of a result if the trainer then fails.
    Raises `refused` with the trainer's own message for bad input, and SmartTunerError where it fails otherwise.
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
        env=environment_for(Child.TRAINER),
    ) as process:
        try:
            with _killed_after(process, seconds):
                result, complaints = _follow(process, console, task, on_result)
        except KeyboardInterrupt:
            console.print(interrupted, highlight=False)
            raise
        finally:
            _end(process)
    if process.returncode == ExitCode.BAD_INPUT:
        at_fault = corpus_hint if result.get("refused") == "corpus" else ""
        raise refused("\n".join(filter(None, (complaints, at_fault))))
    if process.returncode == ExitCode.NO_SPACE:
        raise SmartTunerError(f"{task} failed, since the disk is full. {complaints.rpartition(chr(10))[2]}")
    if process.returncode != ExitCode.FINISHED:
        raise SmartTunerError(f"{task} failed (exit code {process.returncode}):\n{complaints}")
    return result


@contextmanager
def _killed_after(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    if math.isinf(seconds):
        yield
        return
    timer = Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    """Give it a moment to remove unfinished files, then kill it; a second Ctrl-C kills it at once."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()


def _follow(
    process: subprocess.Popen[str], console: Console, task: str, on_result: Callable[[Mapping[str, Any]], None]
) -> tuple[dict[str, Any], str]:
    """Wait for its end; return its result, and what it wrote to standard error."""
    assert process.stdout is not None
    assert process.stderr is not None
    complaints: deque[str] = deque(maxlen=120)
    reader = Thread(target=_collect, args=(process.stderr, complaints), daemon=True)
    reader.start()
    result: dict[str, Any] = {}
    with _shown_progress(console, task) as show:
        for line in process.stdout:
            message = json.loads(line)
            if "what" in message:
                show(message["what"], message["done"], message["total"])
            else:
                result = message
                on_result(result)
    process.wait()
    reader.join()
    return result, "".join(complaints).strip()


@contextmanager
def _shown_progress(console: Console, task: str) -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function that shows what is done, how much of it, and of how much: as bars, or in a log as lines."""
    if not can_redraw(console):
        with _lines(console, task) as show:
            yield show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bars: dict[str, TaskID] = {}
        beginning = progress.add_task(task, total=None)  # the trainer may load libraries first

        def show(what: str, done: int, total: int) -> None:
            progress.update(beginning, visible=False)
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done)

        yield show


@contextmanager
def _lines(console: Console, task: str) -> Iterator[Callable[[str, int, int], None]]:
    """A line every `LINE_SECONDS`, also while nothing is reported: the trainer may load libraries, or wait."""
    latest = f"{task}: starting"
    over = Event()

    def show(what: str, done: int, total: int) -> None:
        nonlocal latest
        latest = f"{what}: {done} of {total}"

    def keep_printing() -> None:
        while not over.wait(LINE_SECONDS):
            print_line(console, latest)

    printer = Thread(target=keep_printing, daemon=True)
    printer.start()
    try:
        yield show
    finally:
        over.set()
        printer.join()


def _collect(stream: IO[str], lines: deque[str]) -> None:
    with suppress(ValueError):  # the stream was closed, since nobody waits for the process any longer
        lines.extend(stream)
