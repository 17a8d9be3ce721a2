"""The check of a corpus by the trainer's own command, called in this process, in place of one that is started."""

from typing import Any

from rich.console import Console
from trainer_process import call_main

from smart_tuner.errors import CorpusRefused
from trainer.protocol import ExitCode


def run_trainer(arguments: list[str], console: Console, **texts: Any) -> dict[str, Any]:
    if call_main("--progress", "json", *arguments) == ExitCode.BAD_INPUT:
        raise CorpusRefused("as the trainer said")
    return {}
