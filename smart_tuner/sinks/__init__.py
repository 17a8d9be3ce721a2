"""The interface of sinks, which consume what happens in a study. None of them can fail, slow or lose a trial."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from smart_tuner.outcome import Outcome
from trainer.protocol import Event

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0  # for a sink at the end, to consume what is left in its queue


class Sink(Protocol):
    """Called for every trial in order, by a thread of its own. May block or raise without harm to others."""

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        history: Sequence[Event] = (),
        resumed: bool,
        promoted: bool = False,
        replicate_of: int | None = None,
    ) -> None:
        """history: the events of its earlier starts. resumed: whether it continues from a checkpoint.

        promoted: whether it continues because it was worth it, after it had paused. replicate_of: the trial whose
        setting it trains with another seed, if any.
        """
        ...

    def event(self, number: int, event: Event) -> None:
        """An event that the trainer of this start wrote; never one of `history`."""
        ...

    def trial_ended(self, number: int, outcome: Outcome) -> None: ...

    def paused_ended(self, number: int, outcome: Outcome) -> None:
        """A trial that had paused, in any process, is PRUNED now. Called for no other trial, and without the others."""
        ...


class Detached:
    """A sink behind a queue and a thread. Each call returns at once; exceptions of the sink are logged.

    Thread-safe. The thread is a daemon: a sink that blocks for ever (a paused terminal) does not delay the exit.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"sink-{type(sink).__name__}", daemon=True)
        self._thread.start()

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        history: Sequence[Event] = (),
        resumed: bool,
        promoted: bool = False,
        replicate_of: int | None = None,
    ) -> None:
        how = partial(self._sink.trial_started, resumed=resumed, promoted=promoted, replicate_of=replicate_of)
        self._calls.put(partial(how, number, params, history=history))

    def event(self, number: int, event: Event) -> None:
        self._calls.put(partial(self._sink.event, number, event))

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        self._calls.put(partial(self._sink.trial_ended, number, outcome))

    def paused_ended(self, number: int, outcome: Outcome) -> None:
        self._calls.put(partial(self._sink.paused_ended, number, outcome))

    def call(self, step: Callable[[], None]) -> None:
        """Have the sink's thread call `step`, after the calls before it."""
        self._calls.put(step)

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join(DRAIN_SECONDS)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:  # the sinks' boundary
                log.exception("%s failed; the study goes on", type(self._sink).__name__)


@contextmanager
def detached(sinks: Sequence[Sink]) -> Iterator[list[Sink]]:
    """Each sink behind a thread of its own. At the end each has `DRAIN_SECONDS` to consume the rest."""
    behind = [Detached(sink) for sink in sinks]
    try:
        yield [*behind]
    finally:
        for sink in behind:
            sink.close()
