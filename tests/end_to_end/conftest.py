"""One study with the real trainer on real speech, run once for all tests that look at its results."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from short_study import SHORT

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def command_line() -> CommandLine:
    """smart-tuner as a person runs it: a process, its output and its exit code."""

    def run(*arguments: str, cwd: Path | None = None, **settings: str) -> "subprocess.CompletedProcess[str]":
        """settings: environment variables of the installation."""
        command = [sys.executable, "-m", "smart_tuner", *arguments]
        environment = os.environ | settings
        return subprocess.run(
            command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=240, check=False
        )

    return run


@pytest.fixture(scope="session")
def finished_study(
    command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """A workspace with study `quickstart` of two trials, and what the command printed."""
    workspace = tmp_path_factory.mktemp("study") / "workspace"
    done = command_line("optimize", "--trials", "2", "--jobs", "2", "--workspace", str(workspace), *SHORT)
    assert done.returncode == 0, done.stderr
    return workspace, done
