"""What the output is: a screen on which a picture can move, or a log of lines."""

import time

from rich.console import Console
from rich.text import Text

from smart_tuner.formatting import printable


def can_move(console: Console) -> bool:
    """A terminal that has a cursor; one that calls itself dumb has none."""
    return console.is_terminal and not console.is_dumb_terminal


def print_line(console: Console, text: str, now: float | None = None) -> None:
    """One happening, with its time; however long, it is not cut. now: seconds since the epoch."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    console.print(Text(f"{stamp} {printable(text, console.encoding)}"), soft_wrap=True)
