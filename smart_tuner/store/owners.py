"""Who runs a trial: what a worker writes as its owner, and the trials whose owners are dead."""

import time
from collections.abc import Container, Mapping
from typing import Any, TypeGuard
from uuid import uuid4

from smart_tuner.machine.process_identity import ProcessIdentity
from smart_tuner.store.statements import Attempt
from smart_tuner.store.storage import GRACE_SECONDS

Owner = Mapping[str, Any]  # as stored; see `Owners.record`
_open_queues: set[str] = set()  # the names of this process's queues whose trials may be at work


class Owners:
    """As one queue of this process sees them. Thread-safe."""

    def __init__(self) -> None:
        self._queue = uuid4().hex  # distinguishes our trials from those of other queues of this process
        self._without_owner: dict[Attempt, float] = {}  # when we first saw them so, by `time.monotonic`

    def open(self) -> None:
        """Declare that trials of this queue may run from now on."""
        _open_queues.add(self._queue)

    def close(self) -> None:
        """Declare that none runs any longer."""
        _open_queues.discard(self._queue)

    def record(self, attempt: Attempt, process: ProcessIdentity) -> Owner:
        """What to store with an attempt of ours that `process` runs."""
        return {**process.as_mapping(), "queue": self._queue, "taken": attempt.start.isoformat()}

    def elsewhere(self, running: Mapping[Attempt, Owner | None]) -> int:
        """How many of the trials run in other queues, by what their workers have written."""
        return sum(_is_of(owner, attempt) and owner["queue"] != self._queue for attempt, owner in running.items())

    def orphans(self, running: Mapping[Attempt, Owner | None], silent: Container[int]) -> list[Attempt]:
        """The trials whose owners are dead.

        running: all that are RUNNING; silent: the trial ids of those whose last heartbeat is older than the grace
        period, by the store's own clock.
        """
        for attempt in list(self._without_owner):
            if attempt not in running:
                self._without_owner.pop(attempt, None)
        return [each for each, owner in running.items() if self._is_orphan(each, owner, each.trial_id in silent)]

    def _is_orphan(self, attempt: Attempt, owner: Owner | None, silent: bool) -> bool:
        if not _is_of(owner, attempt):
            # Its worker is between the two steps of `take`, or died there. Our own clock decides, since that of the
            # worker's machine may be hours off.
            since = self._without_owner.setdefault(attempt, time.monotonic())
            return time.monotonic() - since > GRACE_SECONDS
        process = ProcessIdentity.from_mapping(owner)
        if not process.is_here():
            return silent
        if process.is_this_process():
            return owner.get("queue") not in _open_queues
        return not process.is_alive()


def _is_of(owner: Owner | None, attempt: Attempt) -> TypeGuard[Owner]:
    """Whether the owner is that of this attempt, not of an earlier one of the same trial."""
    return owner is not None and owner.get("taken") == attempt.start.isoformat()
