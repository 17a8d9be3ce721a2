"""What needs torch or espeak-ng, checked by a process of the trainer: `python -m trainer doctor`.

What it found before it crashed or was killed is kept: a GPU may end the process, or never answer.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from smart_tuner.errors import SmartTunerError
from smart_tuner.run.trainer_command import run_trainer
from trainer.findings import Finding, State

SECONDS = 300.0  # for all of them; the kernels of a kind of card take most of it


def trainer_findings(gpus: int, console: Console, seconds: float = SECONDS) -> list[Finding]:
    """gpus: how many the driver reports."""
    found: list[Finding] = []

    def take(result: Mapping[str, Any]) -> None:
        found[:] = [Finding(**{**each, "state": State(each["state"])}) for each in result["findings"]]

    try:
        run_trainer(
            ["doctor", f"--gpus={gpus}"],
            console,
            task="the trainer's check",
            interrupted="stopping",
            seconds=seconds,
            on_result=take,
        )
    except SmartTunerError as error:
        after = f" after {found[-1].check}" if found else ""
        text = f"the process of the trainer did not end its checks{after}: {_short(str(error))}"
        mend = "`python -m trainer doctor` shows the rest; trials run in such processes"
        found.append(Finding("trainer", State.ERROR, text, mend))
    return found


def _short(message: str) -> str:
    """The first line, and the last one, which names the error of a traceback."""
    lines = message.splitlines()
    return " ".join(dict.fromkeys((lines[0], lines[-1].strip())))[:400]
