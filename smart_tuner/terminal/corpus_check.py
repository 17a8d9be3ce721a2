"""The output of `smart-tuner corpus check`: one screen, or JSON; and its short form, before a study begins."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smart_tuner.corpus_check import COLUMNS, CorpusCheck, Group
from smart_tuner.formatting import counted, printable
from trainer.corpus_report import Severity, State

EXAMPLES = 3  # rows of a group
_STYLES = {Severity.REFUSED: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold"}
_STATES = {0: "bold green", 1: "bold yellow", 2: "bold red"}  # by exit code


def print_check(check: CorpusCheck, console: Console) -> None:
    """The facts first, then what needs a look; the verdict last, where it is read."""
    _line(console, f"{check.source}: {check.description}")
    if check.figures:
        console.print(_figures(check))
        _line(console, f"{counted(len(check.symbols), 'symbol')}: {_symbols(check)}")
        _texts(check, console)
    _expansions(check, console)
    console.print()
    for group in check.groups:
        if group.severity is Severity.REFUSED:
            _refused(check, group, console)
        else:
            _group(group, console)
    if check.groups:
        console.print()
    _line(console, f"{check.state}: {check.summary}", _STATES[check.exit_code])
    if check.train + check.validation:
        _line(console, check.advice.expect)
        if check.state is not State.UNUSABLE:
            _line(console, check.advice.settings)
    if check.cleaned is not None:
        _line(console, f"The cleaned copy has {counted(check.cleaned, 'clip')}; its left-out.csv lists the other rows.")


def as_json(check: CorpusCheck) -> str:
    return json.dumps({**check.raw, "advice": asdict(check.advice)}, indent=2, ensure_ascii=False)


def print_short_form(groups: Sequence[Group], corpus: str, console: Console) -> None:
    """What `optimize` says of a corpus before it trains on it. groups: those that are no notes."""
    for group in groups:
        _long_line(console, f"{group.severity}: {group.text}{_named(group)}. {group.why}", _STYLES[group.severity])
    if groups:
        _long_line(console, f"more: smart-tuner corpus check {shlex.quote(corpus)}")


def _named(group: Group) -> str:
    named = [finding.id for finding in group.findings[:EXAMPLES]]
    more = ", ..." if group.count > len(named) else ""
    return f" ({', '.join(named)}{more})" if named else ""


def _figures(check: CorpusCheck) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for words, values in check.figure_rows:
        table.add_row(words, *values)
    return table


def _symbols(check: CorpusCheck) -> str:
    return "  ".join(f"{'space' if symbol == ' ' else symbol}:{count:,}" for symbol, count in check.symbols.items())


def _texts(check: CorpusCheck, console: Console) -> None:
    """Both forms of a text only where the model reads another one."""
    console.print()
    _line(console, "Texts as the model reads them", "bold")
    for text in check.texts:
        _line(console, f"{text.id}: {text.read}", indent=2)
        if text.written.casefold() != text.read:
            _line(console, f"written: {text.written}", "dim", indent=4)


def _expansions(check: CorpusCheck, console: Console) -> None:
    if check.expansions:
        console.print()
        _line(console, "Spoken in another way than written", "bold")
    for each in check.expansions:
        places = "" if each.count == 1 else f", {each.count:,} places"
        _line(console, f"{each.kind}: {each.written} = {each.spoken} ({each.origin}{places})", indent=2)


def _refused(check: CorpusCheck, group: Group, console: Console) -> None:
    _line(console, f"{group.severity}: {group.text}", _STYLES[group.severity])
    for refused in check.refused:
        _line(console, f"{refused.kind}: {counted(len(refused.faults), 'row')}", "bold", indent=2)
        for character in refused.characters:
            _line(console, character, indent=4)
        _examples(console, [f"{row.origin}: {row.text}" for row in refused.faults], indent=4)
    _line(console, group.mend, indent=2)


def _group(group: Group, console: Console) -> None:
    _line(console, f"{group.severity}: {group.text}", _STYLES[group.severity])
    _examples(console, [f"{finding.id} ({finding.origin}): {finding.text}" for finding in group.findings], indent=2)
    _line(console, f"{group.why} {group.mend}", indent=2)


def _examples(console: Console, rows: list[str], indent: int) -> None:
    for row in rows[:EXAMPLES]:
        _line(console, row, indent=indent)
    if len(rows) > EXAMPLES:
        _line(console, f"... and {len(rows) - EXAMPLES:,} more; --json lists all", indent=indent)


def _line(console: Console, text: str, style: str = "", indent: int = 0) -> None:
    """Broken between words, below each other."""
    shown = Text(printable(text, console.encoding), style)
    console.print(Padding(shown, (0, 0, 0, indent), expand=False), highlight=False)


def _long_line(console: Console, text: str, style: str = "") -> None:
    """Not broken in a log."""
    console.print(Text(printable(text, console.encoding), style), highlight=False, soft_wrap=not console.is_terminal)
