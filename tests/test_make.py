"""`make demo` prints its stages, and ends without errors by Ctrl-C. Fakes replace pip and the tuner."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_until

ROOT = Path(__file__).parent.parent
PIP = r"""#!/bin/sh
echo "Collecting torch"
echo "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (888.1 MB)"
echo "  Downloading https://files.example/packages/numpy-2.1.0-cp311-cp311-linux.whl (16.4 MB)"
echo "  Downloading small-1.0-py3-none-any.whl (12 kB)"
echo "Installing collected packages: torch, numpy, small"
"""
# Both wait before they say that they run: until make has noted their process, it takes Ctrl-C for an error of its own.
SLOW = "sleep 0.5; echo slow > .venv/at; sleep 60\n"
TUNER = f"""#!{sys.executable}
import pathlib, sys, time
try:
    time.sleep(0.5)
    pathlib.Path(".venv/at").write_text("tuner\\n")
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with an environment."""
    if shutil.which("make") is None:
        pytest.skip("there is no make here")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "scripts/install"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def make_and_press_ctrl_c(project: Path, at: str, silent: str = "60") -> "subprocess.CompletedProcess[str]":
    """Ctrl-C as from a terminal, to the whole process group, once the fake program runs."""
    argv = ["make", "demo", f"PYTHON={sys.executable}"]
    # A make that runs the tests would be taken for this one's parent.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    with subprocess.Popen(
        argv,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment | {"SILENT_SECONDS": silent},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # in a background job it is ignored by default
    ) as process:
        note = project / ".venv" / "at"
        wait_until(lambda: note.exists() and note.read_text() == f"{at}\n")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def test_ctrl_c_while_packages_are_installed(project: Path) -> None:
    program(project / ".venv/bin/python", PIP + SLOW)
    ended = make_and_press_ctrl_c(project, "slow", silent="0.1")
    assert ended.stderr == ""
    assert ended.stdout.count("unpacking 3 packages") > 1  # while pip is silent, the stage is printed again
    assert ended.stdout.endswith("\nRun `make demo` again to continue.\n")
    assert not (project / ".venv" / "installed-demo").exists()


def test_a_line_for_each_stage_and_ctrl_c_while_the_tuner_works(project: Path) -> None:
    program(project / ".venv/bin/python", PIP)
    program(project / ".venv/bin/smart-tuner", TUNER)
    ended = make_and_press_ctrl_c(project, "tuner")
    assert ended.stderr == ""
    assert re.sub(r"\d+ s:|\d+ s\.", "0 s:", ended.stdout).splitlines() == [
        "Installing the packages of 'demo' into .venv: up to 2 GB, some minutes",
        "  0 s: torch 2.13.0 (888 MB)",
        "  0 s: unpacking 3 packages, 905 MB fetched",
        "Installed after 0 s:",
        "Tuning a tiny voice on synthetic speech: ten trials, about 3 minutes from here",
        "Run `make demo` again to continue.",
    ]


def test_the_output_of_pip_is_shown_if_it_fails(project: Path) -> None:
    program(project / ".venv/bin/python", "#!/bin/sh\necho 'ERROR: No matching distribution'\nexit 1\n")
    argv = ["make", "demo", f"PYTHON={sys.executable}"]
    ended = subprocess.run(argv, cwd=project, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("ERROR: No matching distribution\n")
