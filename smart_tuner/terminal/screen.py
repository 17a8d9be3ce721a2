"""The output of a command: a screen that can be redrawn, or a log of lines."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.segment import Segment
from rich.text import Text

from smart_tuner.formatting import printable
from trainer.control_codes import without_control_codes

UNLIMITED = 10_000  # columns of an output that is no terminal: no line is broken, no table is cut
_SILENT_SECONDS = 2.0  # a shorter wait has no line in a log


def open_console(*, stderr: bool = False) -> Console:
    """For standard output or standard error. In a file or a pipe lines are as long as needed, unless COLUMNS says."""
    console = Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(stderr=stderr, width=UNLIMITED)
    console.push_render_hook(_WithoutControlCodes())
    return console


class _WithoutControlCodes(RenderHook):
    """Prints no control codes of names and texts, which may be from the store or a corpus; those of rich stay."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Cleaned(each) for each in renderables]


class _Cleaned:
    def __init__(self, content: ConsoleRenderable) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(self._content, options):
            yield Segment(text if control else without_control_codes(text), style, control)


def can_redraw(console: Console) -> bool:
    """Whether it is a terminal with a cursor, which a dumb one lacks."""
    return console.is_terminal and not console.is_dumb_terminal


class Narrowing:
    """Clears the screen of a live table once it has become narrower; call `look` before each drawing.

    The terminal has broken the table's lines, and rich goes up only by as many as it wrote.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = console.width

    def look(self) -> None:
        width = self._console.width
        if width < self._width:
            self._console.control(Control.clear(), Control.home())
        self._width = width


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
