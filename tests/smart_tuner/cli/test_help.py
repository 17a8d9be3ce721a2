"""What the program says of itself: its help, its defaults, and that it starts soon."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Cli


@pytest.mark.parametrize("arguments", [["--help"], ["optimize", "--help"], ["best", "--help"], ["listen", "--help"]])
def test_help_loads_no_heavy_package(arguments: list[str]) -> None:
    code = (
        "import sys, atexit\n"
        "heavy = {'torch', 'mlflow', 'optuna', 'sqlalchemy', 'librosa', 'pandas', 'plotly', 'jinja2', 'pyarrow'}\n"
        "heavy |= {'scipy', 'sympy', 'numpy', 'sklearn', 'matplotlib'}\n"
        "atexit.register(lambda: print('loaded:', sorted(heavy & sys.modules.keys())))\n"
        f"sys.argv = ['smart-tuner', *{arguments!r}]\n"
        "from smart_tuner.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.rstrip().endswith("loaded: []")


def test_help_breaks_lines_where_the_terminal_ends_alone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in cli("optimize", "--help").out.splitlines()]
    begin = next(number for number, line in enumerate(lines) if line.startswith("With --hours or --frames"))
    paragraph = lines[begin : lines.index("", begin)]
    assert len(paragraph) > 2
    assert all(len(f"{one} {other.split()[0]}") > 77 for one, other in itertools.pairwise(paragraph))


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        ("optimize", ["auto, one per GPU", "sqlite:///WORKSPACE/studies.db", "the number of the last request"]),
        ("worker", ["all that have trials to do", "workspace)", "RAY_ADDRESS, else this machine"]),
        ("report", ["WORKSPACE/reports/STUDY.html or .md", "by the ending of --output"]),
    ],
)
def test_help_shows_the_defaults(cli: Cli, command: str, defaults: list[str]) -> None:
    """rich takes words in square brackets for its markup, and drops them."""
    text = " ".join(cli(command, "--help").out.replace("│", " ").split())
    assert [default for default in defaults if f"(default: {default}" not in text] == []


def test_a_warning_of_ours_has_no_name_of_a_module() -> None:
    code = (
        "import logging, sys; from smart_tuner.cli.app import main; sys.argv = ['smart-tuner', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "logging.getLogger('smart_tuner.x').warning('ours'); logging.getLogger('lib.x').warning('theirs')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "WARNING: ours\nWARNING lib.x: theirs\n"


def test_the_package_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smart_tuner", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "optimize" in done.stdout


def test_the_installed_command_is_the_same_program() -> None:
    command = shutil.which("smart-tuner", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert command is not None
    done = subprocess.run([command, "validate", "quickstart"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("quickstart: fine.")
