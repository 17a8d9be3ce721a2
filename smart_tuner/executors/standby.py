"""Trainers that have imported torch and wait for a trial, so that one trial's end is the next one's beginning.

One for each device and number of threads, begun while the trial before it is at work. Each is tied to this
process by its standard input, as a trainer at work is, and leaves when that closes.
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
    """start: makes a waiting trainer for such a launch. May be used from any thread."""

    def __init__(self, start: Callable[[Launch], ProcessTree]) -> None:
        self._start = start
        self._waiting: dict[Kind, ProcessTree] = {}
        self._lock = threading.Lock()

    def take(self, launch: Launch) -> ProcessTree | None:
        """The waiting trainer, now at work on `launch`; None where none waits or it died."""
        with self._lock:
            tree = self._waiting.pop(_kind(launch), None)
        if tree is None:
            return None
        try:
            tree.tell(order(launch.run_dir))
        except OSError:
            tree.end()
            return None
        return tree

    def prepare(self, launch: Launch) -> None:
        """Let one wait for the launch after this one."""
        with self._lock:
            waiting = self._waiting.get(_kind(launch))
            if waiting is not None and not waiting.has_ended():
                return
            if waiting is not None:
                waiting.end()
            with suppress(OSError):  # no process or memory left: the next trial starts its own
                self._waiting[_kind(launch)] = self._start(launch)

    def close(self) -> None:
        """One that waits has nothing to save."""
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        for tree in waiting:
            tree.end()


def order(run_dir: RunDir) -> bytes:
    """The line that sets a waiting trainer to work."""
    return json.dumps({"config": str(run_dir.config)}).encode() + b"\n"


def _kind(launch: Launch) -> Kind:
    return launch.device, launch.threads
