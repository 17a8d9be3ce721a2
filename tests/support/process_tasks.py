"""Tasks for the tests of `trainer.data.processes`."""

import os
import sys
import time
from pathlib import Path

from trainer.data.processes import Step


def sleep_for_a_minute(folder: Path, step: Step) -> None:
    """Make a file named after the process's id, then sleep."""
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def square(number: int, step: Step) -> tuple[int, int]:
    """-> the square, and the id of the process that computed it."""
    step()
    return number * number, os.getpid()


def threads(name: str, step: Step) -> str | None:
    return os.environ.get(name)


def loaded(module: str, step: Step) -> bool:
    return module in sys.modules


def die(code: int, step: Step) -> None:
    os._exit(code)
