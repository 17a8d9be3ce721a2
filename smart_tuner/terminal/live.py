"""What a study looks like in a terminal: a live table, or plain lines where the output is no terminal."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from smart_tuner.spec import BudgetSpec
from smart_tuner.terminal.tables import readable
from smart_tuner.verdict import State, Verdict
from trainer.protocol import Event, EventKind

_STYLES = {State.COMPLETE: "green", State.PRUNED: "yellow", State.FAIL: "red"}  # else cyan
_SHOWN_ENDED = 8  # rows of ended trials above the running ones


@dataclass
class _Row:
    number: int
    began: float = field(default_factory=time.monotonic)
    frames: int = 0
    loss: float | None = None
    alignment: float | None = None
    speed: float | None = None
    validated: float | None = None  # validation loss of the last report
    best_alignment: float | None = None
    best_loss: float | None = None
    verdict: Verdict | None = None


class ConsoleSink:
    """Thread-safe. Use as a context: the live table stands while the block runs.

    budget: of one trial; target: trials that the study is to have; finished: those it has already;
    best: looks up which trial is the best, asked whenever one has ended; live: a table, where that is a terminal.
    """

    def __init__(
        self,
        console: Console,
        study: str,
        *,
        budget: BudgetSpec,
        target: int,
        finished: int,
        best: Callable[[], FrozenTrial | None],
        live: bool = True,
    ) -> None:
        self._console, self._study, self._budget, self._target = console, study, budget, target
        self._finished, self._find_best = finished, best
        self._best = best()
        self._stopping = False
        self._is_live = live and console.is_terminal
        self._running: dict[int, _Row] = {}
        self._ended: list[_Row] = []
        self._lock = Lock()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> "ConsoleSink":
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def trial_started(self, number: int, params: Mapping[str, Any], *, resumed: bool) -> None:
        with self._lock:
            self._running[number] = _Row(number)
        given = "  ".join(f"{name}={readable(value)}" for name, value in params.items())
        self._line(f"trial {number} {'continued' if resumed else 'started'}: {given}")

    def event(self, number: int, event: Event) -> None:
        with self._lock:
            row = self._running[number]
            row.frames = event.frames
            if event.kind is EventKind.PROGRESS:
                row.loss, row.speed = event.data["loss"], event.data["frames_per_second"]
            elif event.kind is EventKind.VALIDATION:
                row.validated, row.alignment = event.data["loss"], event.data["alignment"]
                if event.data["best"]:
                    row.best_loss, row.best_alignment = row.validated, row.alignment
        if event.kind is EventKind.VALIDATION:
            share = event.data["index"] / self._budget.reports
            loss, alignment = event.data["loss"], event.data["alignment"]
            self._line(f"trial {number} {share:4.0%}  loss {loss:.3f}  alignment {alignment:.2f}")

    def trial_ended(self, number: int, verdict: Verdict) -> None:
        with self._lock:
            row = self._running.pop(number)
            row.verdict = verdict
            self._ended = [*self._ended, row][-_SHOWN_ENDED:]
            if verdict.state.is_final:
                self._finished += 1
        self._line(f"trial {number} {verdict.state}{': ' if verdict.reason else ''}{verdict.reason}")
        best = self._find_best() if verdict.state is State.COMPLETE else None
        if best is not None and best.number == number:
            self._best = best
            self._line(f"best so far: trial {number}, validation loss {best.value:.4f}")

    def say_stopping(self) -> None:
        """Called when somebody asked to stop; trials take a moment to save."""
        self._stopping = True

    def _line(self, text: str) -> None:
        if not self._is_live:
            self._console.print(Text(text), soft_wrap=True)

    def _render(self) -> RenderableType:
        with self._lock:
            rows = [*self._ended, *self._running.values()]
            table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
            for name, justify in (("trial", "right"), ("", "left"), ("loss", "right"), ("alignment", "left")):
                table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
            table.add_column("", overflow="ellipsis", no_wrap=True, ratio=1)  # a long reason takes no other's place
            for row in rows:
                table.add_row(*(self._ended_row(row) if row.verdict else self._running_row(row)))
            return Group(self._headline(), table)

    def _headline(self) -> Text:
        best = f"best: trial {b.number}, loss {b.value:.4f}" if (b := self._best) else "no feasible trial yet"
        now = "stopping, the trials save their state" if self._stopping else best
        text = f"{self._study}: {self._finished}/{self._target} trials finished, {now}"
        return Text(text, style="bold", no_wrap=True, overflow="ellipsis")

    def _running_row(self, row: _Row) -> tuple[RenderableType, ...]:
        bar = ProgressBar(total=self._budget.frames, completed=min(row.frames, self._budget.frames), width=16)
        loss = row.validated if row.validated is not None else row.loss
        return str(row.number), bar, readable(loss), _alignment_bar(row.alignment), self._pace(row)

    def _ended_row(self, row: _Row) -> tuple[RenderableType, ...]:
        assert row.verdict is not None
        state = Text(row.verdict.state, style=_STYLES.get(row.verdict.state, "cyan"))
        reason = Text(row.verdict.reason.split("\n", 1)[0], style="dim")
        return str(row.number), state, readable(row.best_loss), _alignment_bar(row.best_alignment), reason

    def _pace(self, row: _Row) -> Text:
        if not row.speed:
            return Text("" if row.frames else "starting", style="dim")
        left = max(0, self._budget.frames - row.frames) / row.speed
        return Text(f"{row.speed:,.0f} frames/s, {left:.0f} s left", style="dim")


def _alignment_bar(alignment: float | None) -> Text:
    if alignment is None or alignment != alignment:
        return Text("")
    filled = round(alignment * 8)
    return Text(f"{alignment:.2f} ", end="").append("█" * filled, "green").append("░" * (8 - filled), "dim")
