"""What a command shows before its packages are imported and the store is open."""

import io

import pytest
from rich.console import Console
from waiting import wait_until

from smart_tuner.cli import opening
from smart_tuner.terminal import screen


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_at_once_that_the_command_has_begun(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=80)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(screen, "open_console", lambda *, stderr: console)
    with opening.starting():
        if terminal:
            wait_until(lambda: "starting" in shown.getvalue())
    assert terminal or not shown.getvalue()
