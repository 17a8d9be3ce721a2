"""Waiting for something to become true, by looking often."""

import time
from collections.abc import Callable, Iterable

import psutil


def wait_until(true: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def wait_until_gone(processes: Iterable[psutil.Process], seconds: float = 10) -> None:
    """Gone, or dead and not yet collected by whoever inherited them, which may take its time."""
    wait_until(lambda: all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes), seconds)
