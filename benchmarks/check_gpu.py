"""Checks by one command whether this project works on a machine's GPU, and how fast it is.

    scripts/check-gpu [--all] [--json FILE] [--only STAGE ...] [--device cpu]

Needs only Python with torch, numpy, PyYAML, psutil and pytest:

    python3 -m venv ../gpu-venv && ../gpu-venv/bin/pip install torch numpy pyyaml psutil pytest
    PATH=$PWD/../gpu-venv/bin:$PATH scripts/check-gpu --json gpu.json

`--all` adds the stages that are marked by a star, so that all that is measured on a GPU is. They need the whole
installation (`make install`), and NVIDIA's driver with its Multi-Process Service.

Each stage is a separate process, so that a failure or crash stops no other stage; the table has a line for each.
Trainings run on synthetic tones instead of speech. `--device cpu` runs every stage in small without a GPU; its figures
then mean nothing. Exit code: 0 if all stages succeed; 1 if one fails, with the reasons; 2 if there is no such device,
or for a mistake in the options.

stages:
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_stages import SIZES, Figures, Sizes, Stage, command_of, stages
from benchmarks.report import ROOT, write_results

ERROR_LINES = 12  # the last lines of output that are shown of a failed stage


@dataclass(frozen=True)
class Outcome:
    stage: str
    ok: bool
    seconds: float
    figures: Figures
    reasons: list[str]
    printed: str  # the stage's own output


def main() -> int:
    options = _arguments()
    if options.device == "cuda" and not _has_gpu():
        print(
            "check-gpu: torch finds no CUDA device here; `--device cpu` runs every stage without one.", file=sys.stderr
        )
        return 2
    sizes = SIZES[options.device]
    outcomes = []
    print(_heading(), flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            outcomes.append(run(stages(sizes)[name], sizes, Path(folder)))
            print(_line(outcomes[-1]), flush=True)
    failed = [outcome for outcome in outcomes if not outcome.ok]
    print(f"\n{len(outcomes) - len(failed)} of {len(outcomes)} stages ok, {time.monotonic() - begun:.0f} s")
    for outcome in failed:
        print(f"\n{outcome.stage} failed: {'; '.join(outcome.reasons)}")
        print("\n".join(outcome.printed.splitlines()[-ERROR_LINES:]))
    if options.json:
        results = {"ok": not failed, "stages": [asdict(outcome) for outcome in outcomes]}
        write_results(options.json, results, vars(options))
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    known = stages(SIZES["cuda"])
    listed = "\n".join(f"{'*' if stage.is_long else ' '} {stage.name:<11} {stage.answers}" for stage in known.values())
    parser = argparse.ArgumentParser(
        prog="scripts/check-gpu",
        description=f"{__doc__}{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", choices=list(SIZES), default="cuda", help="default: cuda")
    parser.add_argument("--all", action="store_true", help="also the stages marked by a star")
    parser.add_argument("--only", nargs="+", choices=list(known), metavar="STAGE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, with machine and versions")
    options = parser.parse_args()
    here = stages(SIZES[options.device])
    if lacking := [name for name in options.only or () if name not in here]:
        parser.error(f"--device {options.device} has no stage {', '.join(lacking)}")
    named = options.only or [name for name, stage in here.items() if options.all or not stage.is_long]
    options.only = [name for name in here if name in named]
    return options


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def run(stage: Stage, sizes: Sizes, folder: Path) -> Outcome:
    figures = folder / f"{stage.name}.out"
    begun = time.monotonic()
    limit = sizes.longest if stage.is_long else sizes.limit
    printed, reasons = _execute(command_of(stage, sizes, figures), limit, stage.environment)
    found: Figures = {}
    if figures.exists():
        try:
            found, faults = stage.read(figures, sizes)
            reasons = faults or reasons
        except (ValueError, KeyError, LookupError, SyntaxError) as error:  # the last: of XML
            reasons.append(f"its figures cannot be read ({type(error).__name__}: {error})")
    elif not reasons:
        reasons.append("it wrote no figures")
    return Outcome(stage.name, not reasons, round(time.monotonic() - begun, 1), found, reasons, printed)


def _execute(command: Sequence[str], limit: float, own: Mapping[str, str]) -> tuple[str, list[str]]:
    """own: of its environment -> what it printed, and why it failed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **own}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _kill_session(process)
            printed, _ = process.communicate()
            return printed, [f"it took longer than {limit:.0f} s"]
        except BaseException:  # Ctrl-C in the terminal does not reach its session
            _kill_session(process)
            raise
    return printed, [f"exit code {process.returncode}"] if process.returncode else []


def _kill_session(process: subprocess.Popen[str]) -> None:
    """Kill it with the processes that it has started, which would hold the GPU, and its output open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _heading() -> str:
    return f"{'stage':<11} {'':<6} {'s':>6}  figures"


def _line(outcome: Outcome) -> str:
    shown = "; ".join(f"{name} {_short(value)}" for name, value in outcome.figures.items())
    return f"{outcome.stage:<11} {'ok' if outcome.ok else 'FAILED':<6} {outcome.seconds:>6.1f}  {shown}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    sys.exit(main())
