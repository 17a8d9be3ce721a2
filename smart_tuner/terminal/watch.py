"""Follows a study from outside until it has its trials or is stopped: a live table, or a line per change."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from rich.console import Console
from rich.live import Live

from smart_tuner.machine.load import LoadGauge
from smart_tuner.terminal.lines import line_of_end, line_of_progress, line_of_standing, line_of_start
from smart_tuner.terminal.live_table import StudyTable
from smart_tuner.terminal.screen import Narrowing, can_redraw, print_line
from smart_tuner.terminal.view import View

WATCH_SECONDS = 2.0


def watch_study(look: Callable[[], View], console: Console, is_read: Callable[[], bool] = lambda: True) -> None:
    """look: returns the view of now. Ctrl-C ends it, and what was shown remains.

    is_read: whether anybody still reads the lines; if not, it ends."""
    if can_redraw(console):
        _watch_table(look, console)
        return
    for line in _changes(look, is_read):
        print_line(console, line)


def _watch_table(look: Callable[[], View], console: Console) -> None:
    narrowing = Narrowing(console)
    with LoadGauge() as gauge, Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            view = look()
            load = (
                gauge.now if any(row.here for row in view.running) else None
            )  # the load of this machine says nothing about trials elsewhere
            narrowing.look()
            live.update(StudyTable(replace(view, load=load), console.height), refresh=True)
            if not view.goes_on:
                return
            time.sleep(WATCH_SECONDS)


def _changes(look: Callable[[], View], is_read: Callable[[], bool]) -> Iterator[str]:
    """The state of the study, then each change, and its state at the end."""
    view = look()
    yield line_of_standing(view)
    reports = {row.number: row.reports for row in view.running}
    yield from (line_of_progress(row, view.objective) for row in view.running)
    while view.goes_on and is_read():
        time.sleep(WATCH_SECONDS)
        ended = {row.number for row in view.tally.ended}
        notice = view.notice
        view = look()
        yield from reversed([line_of_end(row, view.objective) for row in view.tally.ended if row.number not in ended])
        for row in view.running:
            if row.number not in reports:
                yield line_of_start(row, resumed=row.reports > 0)
            elif row.reports != reports[row.number]:
                yield line_of_progress(row, view.objective)
        reports = {row.number: row.reports for row in view.running}
        if view.notice not in ("", notice):
            yield view.notice
    yield line_of_standing(view)
