import logging
from threading import Event as Flag
from typing import Any

import pytest
from lab import Lab

import smart_tuner.sinks
from smart_tuner.sinks import detached
from smart_tuner.terminal.sink import ConsoleSink
from smart_tuner.verdict import State, Verdict
from trainer.protocol import Event, EventKind


class Broken:
    """A sink that fails whenever it is called."""

    def trial_started(self, *_: Any, **__: Any) -> None:
        raise OSError("disk full")

    event = trial_ended = trial_started


class Notes:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def trial_started(self, number: int, params: Any, *, history: Any = (), resumed: bool) -> None:
        self.heard += [*(event.kind.value for event in history), "started"]

    def event(self, number: int, event: Event) -> None:
        self.heard.append(event.kind.value)

    def trial_ended(self, number: int, verdict: Verdict) -> None:
        self.heard.append(verdict.state.value)


def test_a_sink_that_fails_is_logged_and_the_others_hear_all(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    with detached([Broken(), notes]) as sinks:
        for sink in sinks:
            sink.trial_started(1, {"a": 1}, history=[Event(EventKind.STOPPED, 1, 1)], resumed=True)
            sink.event(1, Event(EventKind.FINISHED, 1, 1))
            sink.trial_ended(1, Verdict(State.COMPLETE))
    assert notes.heard == ["stopped", "started", "finished", "COMPLETE"]
    assert [record.getMessage() for record in caplog.records] == ["Broken failed; the study goes on"] * 3
    assert all("disk full" in (record.exc_text or "") for record in caplog.records)


def test_a_sink_that_blocks_holds_up_neither_the_caller_nor_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_tuner.sinks, "DRAIN_SECONDS", 0.1)
    released = Flag()

    class Blocked(Notes):
        def event(self, number: int, event: Event) -> None:
            released.wait(30)
            super().event(number, event)

    blocked, notes = Blocked(), Notes()
    with detached([blocked, notes]) as sinks:
        for sink in sinks:
            for _ in range(100):
                sink.event(1, Event(EventKind.PROGRESS, 1, 1))
    assert len(notes.heard) == 100
    assert blocked.heard == []
    released.set()


def test_a_study_whose_console_fails_is_not_touched(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("trial_started", "event", "trial_ended"):
        monkeypatch.setattr(ConsoleSink, name, getattr(Broken, name))
    caplog.set_level(logging.ERROR)
    result = lab.tuner().optimize(2)
    assert dict(result.states) == {"COMPLETE": 1, "PRUNED": 1}
    assert "ConsoleSink failed" in caplog.text
