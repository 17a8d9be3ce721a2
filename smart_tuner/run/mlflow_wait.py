"""The wait for MLflow after the last trial: what the terminal shows meanwhile, and how Ctrl-C ends it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer

from rich.console import Console

from smart_tuner.mlflow_mirror.sink import MlflowSink
from smart_tuner.terminal.screen import can_redraw, print_line

_SILENT_SECONDS = 2.0  # a shorter wait has no line in a log


def catch_up(sinks: Sequence[MlflowSink], seconds: float, console: Console) -> None:
    """Wait until MLflow has everything, no longer than `seconds`. Ctrl-C ends the wait, and nothing else."""
    until = time.monotonic() + seconds
    for sink in sinks:
        if sink.has_started:
            sink.finish(seconds)
    notice = (
        f"MLflow catches up, for {seconds:.0f} s at most; Ctrl-C ends the wait, and `smart-tuner sync` does the rest"
    )
    with _waiting(console, notice):
        try:
            # Those that have not started yet start a process each, one after the other.
            for sink in sorted(sinks, key=lambda sink: not sink.has_started):
                sink.close(max(0.0, until - time.monotonic()))
        except KeyboardInterrupt:
            for sink in sinks:
                sink.close(0.0)
    for sink in sinks:
        if sink.has_started and not sink.is_up_to_date:
            _show_lacking(console, sink.study)


@contextmanager
def _waiting(console: Console, notice: str) -> Iterator[None]:
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


def _show_lacking(console: Console, study: str) -> None:
    text = f"MLflow lacks the last of study {study!r}; `smart-tuner sync --study {study}` sends it"
    if can_redraw(console):
        console.print(text, highlight=False, markup=False)
    else:
        print_line(console, text)
