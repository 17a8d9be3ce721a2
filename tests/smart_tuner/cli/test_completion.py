"""What a shell is told when a command line is to be completed."""

from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner

from smart_tuner.cli.commands import app


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    optuna.create_study(storage="sqlite:///other/studies.db", study_name="quiet")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("smart-tuner stu", ["studies"]),
        ("smart-tuner status --workspace other --study q", ["quiet"]),
        ("smart-tuner optimize --workspace other --study q", ["quickstart", "quiet"]),
        ("smart-tuner validate q", ["quickstart"]),
        ("smart-tuner status --study q", []),  # there is no store
        ("smart-tuner status --storage postgresql+psycopg://127.0.0.1:9/x --study q", []),  # a server is not asked
        ("smart-tuner status --workspace other --storage nonsense --study q", []),
    ],
)
def test_commands_and_studies_are_offered(line: str, offered: list[str]) -> None:
    asked = {"_SMART_TUNER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    ended = CliRunner().invoke(app, [], env=asked, prog_name="smart-tuner")
    assert (ended.exit_code, ended.stdout.split()) == (0, offered)
    assert not Path("workspace").exists()
