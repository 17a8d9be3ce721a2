"""Wait for a condition, by polling."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil


def wait_until(condition: Callable[[], Any], what: str = "", seconds: float = 30.0) -> Any:
    """The condition's value, once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what or condition}"
        time.sleep(0.01)
    return value


def wait_until_gone(processes: Iterable[psutil.Process], seconds: float = 10) -> None:
    """Ended, or zombies: the process that inherited them may reap them late."""
    wait_until(
        lambda: all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes), seconds=seconds
    )
