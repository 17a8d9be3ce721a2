"""Sinks behind threads: one that fails or blocks harms nobody else."""

import logging
from threading import Event as Flag
from typing import Any

import pytest
from lab import Lab

import smart_tuner.sinks
from smart_tuner.outcome import Outcome, State
from smart_tuner.sinks import detached
from smart_tuner.terminal.sink import ConsoleSink
from trainer.protocol import Event, EventKind


class Broken:
    """A sink that fails whenever it is called."""

    def trial_started(self, *_: Any, **__: Any) -> None:
        raise OSError("disk full")

    event = trial_ended = paused_ended = trial_started


class Recorder:
    """A sink that records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def trial_started(
        self,
        number: int,
        params: Any,
        *,
        history: Any = (),
        resumed: bool,
        promoted: bool = False,
        replicate_of: int | None = None,
    ) -> None:
        self.calls += [*(event.kind.value for event in history), "started"]

    def event(self, number: int, event: Event) -> None:
        self.calls.append(event.kind.value)

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        self.calls.append(outcome.state.value)

    def paused_ended(self, number: int, outcome: Outcome) -> None:
        self.calls.append(f"paused, {outcome.state.value}")


def test_a_sink_that_fails_is_logged_and_the_others_get_all_events(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    with detached([Broken(), recorder]) as sinks:
        for sink in sinks:
            sink.trial_started(1, {"a": 1}, history=[Event(EventKind.STOPPED, 1, 1)], resumed=True)
            sink.event(1, Event(EventKind.FINISHED, 1, 1))
            sink.trial_ended(1, Outcome(State.COMPLETE))
    assert recorder.calls == ["stopped", "started", "finished", "COMPLETE"]
    assert [record.getMessage() for record in caplog.records] == ["Broken failed; the study goes on"] * 3
    assert all("disk full" in (record.exc_text or "") for record in caplog.records)


def test_a_sink_that_blocks_delays_neither_the_caller_nor_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_tuner.sinks, "DRAIN_SECONDS", 0.1)
    released = Flag()

    class Blocked(Recorder):
        def event(self, number: int, event: Event) -> None:
            released.wait(30)
            super().event(number, event)

    blocked = Blocked()
    recorder = Recorder()
    with detached([blocked, recorder]) as sinks:
        for sink in sinks:
            for _ in range(100):
                sink.event(1, Event(EventKind.PROGRESS, 1, 1))
    assert len(recorder.calls) == 100
    assert blocked.calls == []
    released.set()


def test_a_study_is_unaffected_by_a_failing_console(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("trial_started", "event", "trial_ended"):
        monkeypatch.setattr(ConsoleSink, name, getattr(Broken, name))
    caplog.set_level(logging.ERROR)
    result = lab.tuner().optimize(2)
    assert dict(result.states) == {"COMPLETE": 1, "PRUNED": 1}
    assert "ConsoleSink failed" in caplog.text
