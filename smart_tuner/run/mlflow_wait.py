"""The wait for MLflow after the last trial: what the terminal shows meanwhile, and how Ctrl-C ends it."""

import time
from collections.abc import Sequence

from rich.console import Console

from smart_tuner.mlflow_mirror.sink import MlflowSink
from smart_tuner.terminal.screen import can_redraw, print_line, waiting


def catch_up(sinks: Sequence[MlflowSink], seconds: float, console: Console) -> None:
    """Wait until MLflow has everything, no longer than `seconds`. Ctrl-C ends the wait, and nothing else."""
    until = time.monotonic() + seconds
    for sink in sinks:
        if sink.has_started:
            sink.finish(seconds)
    notice = (
        f"MLflow catches up, for {seconds:.0f} s at most; Ctrl-C ends the wait, and `smart-tuner sync` does the rest"
    )
    with waiting(console, notice):
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


def _show_lacking(console: Console, study: str) -> None:
    text = f"MLflow lacks the last of study {study!r}; `smart-tuner sync --study {study}` sends it"
    if can_redraw(console):
        console.print(text, highlight=False, markup=False)
    else:
        print_line(console, text)
