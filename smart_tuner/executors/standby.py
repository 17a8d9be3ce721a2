"""Trainers that have imported torch and wait for a trial, so that the next trial starts when one ends.

Each trial that begins has one prepared for a trial after it, of the same device and number of threads, while fewer than
`MOST` wait: trials at once that pause after seconds follow one another sooner than a trainer starts. As a working
trainer, it is tied to this process by its standard input, and ends when that closes.
"""

import json
import threading
from collections.abc import Callable
from contextlib import suppress

from smart_tuner.executors import Launch
from smart_tuner.machine.process_tree import ProcessTree
from trainer.protocol import RunDir

MOST = 4  # of a kind; each holds a few hundred MB

Kind = tuple[str, int]  # device, threads


class Standbys:
    """start: starts a waiting trainer for launches of the same kind. Thread-safe."""

    def __init__(self, start: Callable[[Launch], ProcessTree]) -> None:
        self._start = start
        self._waiting: dict[Kind, list[ProcessTree]] = {}
        self._lock = threading.Lock()

    def take(self, launch: Launch) -> ProcessTree | None:
        """Start `launch` in the trainer that waits longest; None where none waits, or it died."""
        with self._lock:
            waiting = self._waiting.get(_kind(launch), [])
            tree = waiting.pop(0) if waiting else None
        if tree is None:
            return None
        try:
            tree.send(start_line(launch.run_dir))
        except OSError:
            tree.end()
            return None
        return tree

    def prepare(self, launch: Launch) -> None:
        """Start a trainer that waits for the launch after this one, unless `MOST` wait. Call it once for a launch."""
        with self._lock:
            waiting = self._waiting.setdefault(_kind(launch), [])
            for tree in [tree for tree in waiting if tree.has_ended()]:
                waiting.remove(tree)
                tree.end()
            if len(waiting) < MOST:
                with suppress(OSError):  # no process or memory left: the next trial starts its own
                    waiting.append(self._start(launch))

    def close(self) -> None:
        """End the waiting trainers; they have nothing to save."""
        with self._lock:
            trees = [tree for waiting in self._waiting.values() for tree in waiting]
            self._waiting = {}
        for tree in trees:
            tree.end()


def start_line(run_dir: RunDir) -> bytes:
    """The line of input with which a waiting trainer starts a trial."""
    return json.dumps({"config": str(run_dir.config)}).encode() + b"\n"


def _kind(launch: Launch) -> Kind:
    return launch.device, launch.threads
