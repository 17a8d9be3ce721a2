"""Text from files changes no terminal: neither on standard error nor in a log that somebody shows there."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.control_codes import without_control_codes
from trainer.exit_reports import close_log, print_to_stderr, set_up_logging

CLEAR_SCREEN = "\x1b[2J"
TITLE = "\x1b]0;root@host\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a{CLEAR_SCREEN}b", "ab"),
        ("\x1b[38;5;196mred\x1b[0m", "red"),
        (TITLE, "]0;root@host"),
        ("paid\b\b\b\b\rfree", "paidfree"),
        ("\x9b2J\x90\x7f", "2J"),  # the codes of 8 bits
        ("invoice\u202efdp.exe\u2066", "invoicefdp.exe"),
        ("two\nlines\tand “Ёлки” 日本 👩‍🔧", "two\nlines\tand “Ёлки” 日本 👩‍🔧"),
    ],
)
def test_control_codes_are_left_out_and_text_stays(text: str, shown: str) -> None:
    assert without_control_codes(text) == shown


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    before = logging.root.level
    set_up_logging(tmp_path / "log", quiet=True)
    yield tmp_path / "log"
    close_log()
    logging.root.setLevel(before)


def test_neither_a_log_nor_standard_error_has_any(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("trainer").warning("%s", f"a corpus called {CLEAR_SCREEN}")
    print_to_stderr(ValueError(f"`{TITLE}` is not in the model"))
    assert "a corpus called \n" in log.read_text()
    assert capsys.readouterr().err == "`]0;root@host` is not in the model\n"
