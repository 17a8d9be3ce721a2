"""`smart-tuner ...` called in this process, which saves the seconds in which a new one imports its packages."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from lab import Lab

from smart_tuner.cli.app import main

BEST_KEYS = [  # of what `best --format json` prints
    "study",
    "trial",
    "objective",
    "value",
    "feasible",
    "params",
    "metrics",
    "mlflow_run_id",
    "checkpoint",
    "certainty",
    "heard",
]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


def call_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["smart-tuner", *arguments])
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    output = capsys.readouterr()
    return Ended(code, output.out, output.err)


def optimize(cli: Cli, lab: Lab, *more: str) -> Ended:
    return cli("optimize", "--study", "lab.yaml", "--workspace", str(lab.workspace), "--jobs", "1", *more)
