"""A view as rich draws it: lines of figures and two tables, fitted to the size of the terminal."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.console import Console, ConsoleOptions, OverflowMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from smart_tuner.figures import LOSS, Figure, verdict
from smart_tuner.formatting import bar, beside_cause, duration, first_line, params_line, printable, readable
from smart_tuner.machine.load import Load
from smart_tuner.terminal.lines import (
    best_part,
    early_parts,
    line_of_correction,
    line_of_heard,
    load_parts,
    replicate_note,
    standing_parts,
)
from smart_tuner.terminal.screen import UNLIMITED
from smart_tuner.terminal.view import Ended, Running, View, value_of
from trainer.evaluation.verdict import heard

_STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}  # other states: cyan
_WITH_CAUSE = ("PRUNED", "FAIL", "RETRIED")  # states whose cause is shown beside them
_SHOWN_ENDED = 8  # rows in the live table
_SHOWN_PAUSED = 3  # of them, at most
# Widths of bars, in characters.
_BAR = 11
_WIDER_BAR = 14  # with its share as wide as the longest state, "PRUNED not promoted"
_LONG_BAR = 24
_ALIGNMENT_BAR = 8
# The least width of a terminal that shows these.
_FOR_PARAMS = 120
_FOR_LOSS = 100  # beside the objective
_FOR_DOING = 80
_FOR_BARS = 70  # and the speed
_FOR_ALIGNMENT = 60  # the bar of the alignment
_FOR_LEFT = 45

_Row = TypeVar("_Row", Running, Ended)


@dataclass(frozen=True)
class StudyTable:
    """height: lines of the screen of a live table; None: printed once, with all rows and whole reasons.

    rows: the trials that have ended or paused; None: those of the view.
    """

    view: View
    height: int | None = None
    rows: Sequence[Ended] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        layout = _Layout(
            options.max_width, options.ascii_only, options.encoding, self.view.objective, whole=self.height is None
        )
        top, bottom = layout.headlines(self.view), layout.load(self.view.load)
        tally = self.view.tally
        paused = tally.paused if self.height is None else tally.paused[:_SHOWN_PAUSED]
        rows = (*paused, *tally.ended) if self.rows is None else self.rows
        running, ended = self.view.running, (*tally.waiting, *rows)
        below = [*layout.heard(running), *layout.corrections(running)]
        left_out = 0
        if self.height is not None:
            room = max(1, self.height - len(top) - len(bottom) - 2)  # the header row and the cursor's line
            below = below[: max(0, room - len(running))]
            room -= len(below)
            left_out = len(running) - room + 1 if len(running) > room else 0
            running = running[: len(running) - left_out]
            ended = ended[: max(0, min(_SHOWN_ENDED, room - len(running) - bool(left_out)))]
        yield from top
        if running:
            yield layout.running(running)
            yield from below
        if left_out:
            yield Text(f"... and {left_out} more" if running else f"... {left_out} trials run", style="dim")
        if ended:
            best = self.view.tally.best
            yield layout.ended(ended, best.number if best else None, named=not running)
        yield from bottom


@dataclass(frozen=True)
class _Column(Generic[_Row]):
    """width: None: what the others leave. wanted_from: least width of the terminal. whole: it wraps if printed once."""

    title: str
    cell: Callable[[_Row], RenderableType]
    width: int | None
    right: bool = False
    wanted_from: int = 0
    whole: bool = False


@dataclass(frozen=True)
class _Layout:
    """Draws for a terminal of this width and encoding; at `UNLIMITED` columns tables are as wide as they need to be.

    whole: long reasons wrap.
    """

    width: int
    ascii_only: bool
    encoding: str
    objective: Figure
    whole: bool

    def headlines(self, view: View) -> list[Text]:
        figures = [part for part in (best_part(view), *early_parts(view.tally)) if part]
        notice = [view.notice] if view.notice else []
        return [
            *self._folded(standing_parts(view), ", ", "bold"),
            *self._folded(notice, "", "bold yellow"),
            *self._folded(figures, "; ", ""),
        ]

    def corrections(self, rows: Iterable[Running]) -> list[Text]:
        """A line for the last correction of each trial that has one."""
        lines = [line_of_correction(row) for row in rows if row.correction]
        return [text for line in lines for text in self._folded([line], "", "yellow")]

    def heard(self, rows: Sequence[Running]) -> list[Text]:
        """What is heard of a trial that runs alone, as a training does: of several, there is no room for it."""
        if len(rows) != 1 or heard(rows[0].spoken) is None:
            return []
        return self._folded([line_of_heard(rows[0])], "", "")

    def load(self, load: Load | None) -> list[Text]:
        return self._folded(load_parts(load), ", ", "dim") if load else []

    def running(self, rows: Iterable[Running]) -> Table:
        columns: list[_Column[Running]] = [
            _Column("trial", lambda row: str(row.number), 5, right=True),
            _Column("progress", self._share, self._wide),
            *self._figures(_loss),
            _Column("alignment", lambda row: self._alignment(row.alignment), self._alignment_wide),
            _Column("frames/s", lambda row: f"{row.speed:,.0f}" if row.speed else "", 8, True, _FOR_BARS),
            _Column("left", lambda row: "" if row.left is None else duration(row.left), 11, True, _FOR_LEFT),
            _Column("", lambda row: self._text(row.doing, "dim"), 13, wanted_from=_FOR_DOING),
            _Column("parameters", lambda row: self._params(row), None, wanted_from=_FOR_PARAMS),
        ]
        return self._table(columns, rows, named=True)

    def ended(self, rows: Iterable[Ended], best: int | None, *, named: bool) -> Table:
        columns: list[_Column[Ended]] = [
            _Column("trial", lambda row: str(row.number), 5, right=True),
            _Column("", self._state, self._wide),
            *self._figures(_ended_loss),
            _Column("alignment", lambda row: self._alignment(row.alignment), self._alignment_wide),
            _Column("heard; why it ended" if named else "", lambda row: self._end(row, best), None, whole=True),
            _Column("parameters" if named else "", self._params, None, wanted_from=_FOR_PARAMS),
        ]
        return self._table(columns, rows, named=named, best=best)

    def _figures(self, loss: Callable[[_Row], str]) -> list["_Column[_Row]"]:
        """The objective, and the loss where there is room for both."""
        if self.objective is LOSS:
            return [_Column(LOSS.column, loss, 7, right=True)]
        return [
            _Column(
                self.objective.column, lambda row: self.objective.text(value_of(row, self.objective)), 8, right=True
            ),
            _Column(LOSS.column, loss, 7, right=True, wanted_from=_FOR_LOSS),
        ]

    @property
    def _is_unlimited(self) -> bool:
        return self.width >= UNLIMITED

    @property
    def _wide(self) -> int:
        """The width of the column with the bar and its share, or the state."""
        return self._bar + 5 if self._bar else 8

    @property
    def _bar(self) -> int:
        if self.width >= _FOR_PARAMS:
            return _LONG_BAR
        if self.width >= _FOR_LOSS:
            return _WIDER_BAR
        return _BAR if self.width >= _FOR_BARS else 0

    @property
    def _alignment_wide(self) -> int:
        return _ALIGNMENT_BAR + 5 if self.width >= _FOR_ALIGNMENT else 9

    def _table(
        self, columns: Sequence[_Column[_Row]], rows: Iterable[_Row], *, named: bool, best: int | None = None
    ) -> Table:
        columns = [column for column in columns if self.width >= column.wanted_from]
        table = Table(
            box=None,
            pad_edge=False,
            padding=(0, 1),
            collapse_padding=True,
            header_style="dim",
            show_header=named,
            expand=not self._is_unlimited and any(column.width is None for column in columns),
        )
        for column in columns:
            wraps = column.whole and self.whole
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                width=column.width,
                ratio=None if column.width or self._is_unlimited else 1,
                no_wrap=not wraps,
                overflow="fold" if wraps else self._overflow,
            )
        for row in rows:
            table.add_row(*(column.cell(row) for column in columns), style="bold" if row.number == best else None)
        return table

    def _share(self, row: Running) -> Text:
        if row.share is None:
            return Text("")
        figure = f"{min(1.0, row.share):4.0%}"
        return self._drawn(row.share, self._bar, "cyan").append(f" {figure}") if self._bar else Text(figure)

    def _alignment(self, alignment: float | None) -> Text:
        if alignment is None:
            return Text("")
        figure = Text(f"{alignment:.2f}")
        if self.width < _FOR_ALIGNMENT or alignment != alignment:
            return figure
        return figure.append(" ").append_text(self._drawn(alignment, _ALIGNMENT_BAR, "green"))

    def _drawn(self, share: float, width: int, style: str) -> Text:
        full, empty = bar(share, width, ascii_only=self.ascii_only)
        return Text.assemble((full, style), (empty, "dim"))

    def _state(self, row: Ended) -> Text:
        cause = f" {row.cause}" if self._shows_cause(row) else ""
        return Text(row.state + cause, style=_STYLES.get(row.state, "cyan"))

    def _shows_cause(self, row: Ended) -> bool:
        return bool(row.cause and row.state in _WITH_CAUSE and self._bar)

    def _end(self, row: Ended, best: int | None) -> Text:
        """What is heard, also that it was not measured of a complete trial, and why the trial ended."""
        what_is_heard = verdict(row.spoken) if row.state == "COMPLETE" or heard(row.spoken) else ""
        if row.number == best:
            return Text(f"best: {what_is_heard}", style="green")
        reason = first_line(row.reason)
        if self._shows_cause(row) and not self.whole:
            reason = beside_cause(reason, row.cause)
        parts = (replicate_note(row), what_is_heard, reason)
        return self._text("; ".join(part for part in parts if part), "dim")

    def _params(self, row: Running | Ended) -> Text:
        return self._text(params_line(row.params), "dim")

    def _text(self, text: str, style: str) -> Text:
        return Text(printable(text, self.encoding), style=style)

    def _folded(self, parts: Sequence[str], separator: str, style: str) -> list[Text]:
        """The parts as lines, as many whole parts in each as fit."""
        lines: list[str] = []
        for part in (printable(part, self.encoding) for part in parts):
            if lines and len(lines[-1]) + len(separator) + len(part) <= self.width:
                lines[-1] += separator + part
            else:
                lines.append(part)
        return [Text(line, style=style, no_wrap=True, overflow=self._overflow) for line in lines]

    @property
    def _overflow(self) -> OverflowMethod:
        return "crop" if self.ascii_only else "ellipsis"


def _ended_loss(row: Ended) -> str:
    return LOSS.text(row.loss)


def _loss(row: Running) -> str:
    """The validation loss; before the first validation the training loss, in brackets."""
    return readable(row.loss) if row.validated or row.loss is None else f"({row.loss:.3g})"
