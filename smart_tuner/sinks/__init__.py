"""Consumers of what happens in a study. None of them can fail, slow or lose a trial."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from smart_tuner.verdict import Verdict
from trainer.protocol import Event

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Called from the threads that run trials, several at a time; must return at once."""

    def trial_started(self, number: int, params: Mapping[str, Any], *, resumed: bool) -> None: ...

    def event(self, number: int, event: Event) -> None: ...

    def trial_ended(self, number: int, verdict: Verdict) -> None: ...


class Guarded:
    """A sink whose mistakes are logged and go no further: the one place where that is right."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def trial_started(self, number: int, params: Mapping[str, Any], *, resumed: bool) -> None:
        self._call(lambda: self._sink.trial_started(number, params, resumed=resumed))

    def event(self, number: int, event: Event) -> None:
        self._call(lambda: self._sink.event(number, event))

    def trial_ended(self, number: int, verdict: Verdict) -> None:
        self._call(lambda: self._sink.trial_ended(number, verdict))

    def _call(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            log.exception("%s failed; the study goes on", type(self._sink).__name__)


def guarded(sinks: Sequence[Sink]) -> list[Sink]:
    return [Guarded(sink) for sink in sinks]
