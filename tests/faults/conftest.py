"""What all rounds of the campaign share: the seed, the tally, a clock that can be shifted, and the table at the end."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import Tally, table

TALLY = pytest.StashKey[Tally]()
SHIM = Path(__file__).parents[1] / "support" / "shifted_clock.c"


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """FAULTS_SEED repeats a campaign; a round depends only on the seed and its name."""
    seed = os.environ.get("FAULTS_SEED") or secrets.token_hex(4)
    tally = request.config.stash[TALLY] = Tally(seed)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nFAULTS_SEED={seed} repeats this campaign", flush=True)
    yield tally
    if "FAULTS_REPORT" in os.environ:
        Path(os.environ["FAULTS_REPORT"]).write_text(table(tally) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def shim(tally: Tally, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A library that shifts the clock of a process that preloads it; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        tally.skipped.append("jumps of the clock: there is no C compiler here")
        return None
    library = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SHIM)], check=True)
    return library


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tally = terminalreporter.config.stash.get(TALLY, None)
    if tally is not None:
        terminalreporter.section("faults")
        terminalreporter.write_line(table(tally))
