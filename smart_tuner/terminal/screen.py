"""The output of a command: a screen that can be redrawn, or a log of lines."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.text import Text

from smart_tuner.formatting import printable

UNLIMITED = 10_000  # columns of an output that is no terminal: no line is broken, no table is cut
_SILENT_SECONDS = 2.0  # a shorter wait has no line in a log


def open_console(*, stderr: bool = False) -> Console:
    """For standard output or standard error. In a file or a pipe lines are as long as needed, unless COLUMNS says."""
    console = Console(stderr=stderr)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(stderr=stderr, width=UNLIMITED)


def can_redraw(console: Console) -> bool:
    """Whether it is a terminal with a cursor, which a dumb one lacks."""
    return console.is_terminal and not console.is_dumb_terminal


def print_line(console: Console, text: str, now: float | None = None) -> None:
    """Print a line with its time, however long the line is. now: seconds since the epoch."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    console.print(Text(f"{stamp} {printable(text, console.encoding)}"), soft_wrap=True)


@contextmanager
def waiting(console: Console, notice: str) -> Iterator[None]:
    """Show `notice` while the block runs; in a log as one line, if the wait takes longer than a moment."""
    if can_redraw(console):
        with console.status(notice):
            yield
        return
    line = Timer(_SILENT_SECONDS, print_line, (console, notice))
    line.daemon = True
    line.start()
    try:
        yield
    finally:
        line.cancel()
