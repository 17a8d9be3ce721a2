"""What a console of ours prints holds no control codes but those of rich, and a narrower screen no lines of before."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from smart_tuner.overview import StudyOverview, StudyState
from smart_tuner.terminal.screen import Narrowing, open_console
from smart_tuner.terminal.studies_table import print_studies

CODES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    return open_console()


def test_names_in_the_store_of_other_programs_change_no_terminal(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    study = StudyOverview(
        f"[red]evil{CODES}", StudyState.FINISHED, f"{CODES}/data", 1, {"COMPLETE": 1}, 0, None, None, "loss", None
    )
    print_studies([study], console)
    shown = capsys.readouterr().out
    assert "[red]evil" in shown
    assert "/data" in shown
    assert not [code for code in ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\u202e") if code in shown]


def test_colours_and_tables_stay(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name")
    table.add_row(f"row{CODES}")
    console.print(table)
    console.print("well", style="green")
    shown = capsys.readouterr().out
    assert "row" in shown
    assert "\x1b[32mwell\x1b[0m" in shown


def test_a_screen_is_cleared_when_it_has_become_narrower() -> None:
    """A terminal breaks the lines of a table that are too long by then, and the table is drawn again below."""
    console = Console(file=io.StringIO(), width=160, height=24, force_terminal=True)
    narrowing = Narrowing(console)
    cleared = []
    for width in (160, 200, 80, 80):
        console.width = width
        narrowing.look()
        cleared.append(console.file.getvalue().count("\x1b[2J"))  # type: ignore[attr-defined]
    assert cleared == [0, 0, 1, 1]
