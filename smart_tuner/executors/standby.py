"""Trainers that wait for a trial, so that the next trial starts when one ends, without importing torch.

A trainer whose trial ended well waits for the next one of the same kind (`trainer.standby`). So that a trial need not
wait either after one that ended otherwise, each trial that begins while none waits has one more started: there is at
most one trainer more than there were trials at once. A waiting trainer is tied to this process by its standard input,
as a working one, and ends when that closes.
"""

import threading
from collections.abc import Callable, Hashable
from contextlib import suppress

from smart_tuner.executors import Launch
from smart_tuner.machine.process_tree import ProcessTree
from trainer.standby import start_line


class Standbys:
    """start: starts a waiting trainer for launches of the same kind, as `kind` names it. Thread-safe."""

    def __init__(self, start: Callable[[Launch], ProcessTree], kind: Callable[[Launch], Hashable]) -> None:
        self._start = start
        self._kind = kind
        self._waiting: dict[Hashable, list[ProcessTree]] = {}  # those that have trained first
        self._lock = threading.Lock()

    def take(self, launch: Launch) -> ProcessTree | None:
        """Start `launch` in a trainer that waits; None where none does."""
        while (tree := self._pop(launch)) is not None:
            if not tree.has_ended():
                with suppress(OSError):
                    tree.send(start_line(launch.run_dir.config))
                    return tree
            tree.end()
        return None

    def prepare(self, launch: Launch) -> None:
        """Start a trainer for a launch after this one, unless one waits."""
        with self._lock:
            waiting = self._waiting.setdefault(self._kind(launch), [])
            for tree in [tree for tree in waiting if tree.has_ended()]:
                waiting.remove(tree)
                tree.end()
            if not waiting:
                with suppress(OSError):  # no process or memory left: the next trial starts its own
                    waiting.append(self._start(launch))

    def give_back(self, launch: Launch, tree: ProcessTree) -> None:
        """Keep the trainer of `launch`, which waits again, for another one."""
        with self._lock:
            self._waiting.setdefault(self._kind(launch), []).insert(0, tree)

    def close(self) -> None:
        """End the waiting trainers; they have nothing to save."""
        with self._lock:
            trees = [tree for waiting in self._waiting.values() for tree in waiting]
            self._waiting = {}
        for tree in trees:
            tree.end(is_leaving=lambda: True)

    def _pop(self, launch: Launch) -> ProcessTree | None:
        with self._lock:
            waiting = self._waiting.get(self._kind(launch))
            return waiting.pop(0) if waiting else None
