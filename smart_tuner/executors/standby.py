"""Trainers that have imported torch and wait for a trial, so that the next trial starts when one ends.

There is one for each device and number of threads, started while the trial before it runs. As a working trainer, it is
tied to this process by its standard input, and ends when that closes.
"""

import json
import threading
from collections.abc import Callable
from contextlib import suppress

from smart_tuner.executors import Launch
from smart_tuner.machine.process_tree import ProcessTree
from trainer.protocol import RunDir

Kind = tuple[str, int]  # device, threads


class Standbys:
    """start: starts a waiting trainer for launches of the same kind. Thread-safe."""

    def __init__(self, start: Callable[[Launch], ProcessTree]) -> None:
        self._start = start
        self._waiting: dict[Kind, ProcessTree] = {}
        self._lock = threading.Lock()

    def take(self, launch: Launch) -> ProcessTree | None:
        """Start `launch` in the waiting trainer; None where none waits, or it died."""
        with self._lock:
            tree = self._waiting.pop(_kind(launch), None)
        if tree is None:
            return None
        try:
            tree.send(start_line(launch.run_dir))
        except OSError:
            tree.end()
            return None
        return tree

    def prepare(self, launch: Launch) -> None:
        """Start a trainer that waits for the launch after this one, unless one waits."""
        with self._lock:
            waiting = self._waiting.get(_kind(launch))
            if waiting is not None and not waiting.has_ended():
                return
            if waiting is not None:
                waiting.end()
            with suppress(OSError):  # no process or memory left: the next trial starts its own
                self._waiting[_kind(launch)] = self._start(launch)

    def close(self) -> None:
        """End the waiting trainers; they have nothing to save."""
        with self._lock:
            waiting = list(self._waiting.values())
            self._waiting = {}
        for tree in waiting:
            tree.end()


def start_line(run_dir: RunDir) -> bytes:
    """The line of input with which a waiting trainer starts a trial."""
    return json.dumps({"config": str(run_dir.config)}).encode() + b"\n"


def _kind(launch: Launch) -> Kind:
    return launch.device, launch.threads
