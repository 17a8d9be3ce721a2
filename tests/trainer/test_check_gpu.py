"""The check of a GPU machine: a stage that fails is reported, and the others still run."""

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.check_gpu import _arguments, run
from benchmarks.gpu_stages import SIZES, Figures, Sizes, Stage, command_of, stages

CPU = SIZES["cpu"]
ROOT = Path(__file__).parents[2]
WRITES = "import sys; open(sys.argv[1][7:], 'w').write('{\"loss\": 3}')"


def stage(program: str) -> Stage:
    def read(path: Path, sizes: Sizes) -> tuple[Figures, list[str]]:
        figures = json.loads(path.read_text())
        return figures, ["the loss is 3"] if "bad" in program else []

    return Stage("made up", "", lambda sizes: ["-c", program], read)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (WRITES, None),
        (WRITES + "  # bad", "the loss is 3"),
        (WRITES + "; raise SystemExit(3)", "exit code 3"),
        ("pass", "it wrote no figures"),
        (WRITES.replace("3}", ""), "cannot be read"),
        ("print('why'); raise SystemExit(4)", "exit code 4"),
    ],
)
def test_a_stage_fails_with_its_reason(program: str, reason: str | None, tmp_path: Path) -> None:
    outcome = run(stage(program), CPU, tmp_path)
    assert outcome.ok is (reason is None)
    assert (reason or "") in "; ".join(outcome.reasons)
    if "print" in program:
        assert outcome.printed == "why\n"


@pytest.mark.parametrize("device", SIZES)
def test_all_stages_run_where_that_is_asked_for(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = stages(SIZES[device])

    def chosen(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["check-gpu", "--device", device, *arguments])
        found: list[str] = _arguments().only
        return found

    assert chosen("--all") == list(known)
    assert chosen() == [stage.name for stage in known.values() if not stage.is_long]
    assert chosen("--only", "study", "graphs") == ["graphs", "study"]
    for stage in known.values():
        assert find_spec(command_of(stage, SIZES[device], Path("figures"))[2]), stage.name


def test_a_stage_that_hangs_is_ended_with_the_processes_that_it_started(tmp_path: Path) -> None:
    hasty = Sizes(**{**vars(CPU), "limit": 0.5})
    program = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    begun = time.monotonic()
    (reason,) = run(stage(program), hasty, tmp_path).reasons
    assert "longer than" in reason
    assert time.monotonic() - begun < 30


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    """One small stage, without a GPU."""
    path = tmp_path / "gpu.json"
    command = ["scripts/check-gpu", "--device", "cpu", "--only", "graphs", "--json", str(path)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "graphs      ok" in done.stdout
    (graphs,) = json.loads(path.read_text())["stages"]
    assert graphs["figures"]["gradients"] < 1e-9
