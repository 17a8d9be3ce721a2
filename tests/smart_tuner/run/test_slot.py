"""A slot for trials: requests to stop reach its run; a run that takes too long or is silent for too long is stopped."""

from collections.abc import Iterator

import pytest

import smart_tuner.run.slot
from smart_tuner.executors import Exit
from smart_tuner.outcome import Cause, State, StopRequest
from smart_tuner.run.slot import Slot
from trainer.protocol import Event

PRUNE = StopRequest(State.PRUNED, Cause.ATTENTION, "attention does not align")


class Run:
    """Remembers the calls of `stop` and `kill`."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def events(self) -> Iterator[Event]:
        return iter(())

    def stop(self) -> None:
        self.calls.append("stop")

    def kill(self) -> None:
        self.calls.append("kill")

    @property
    def exit(self) -> Exit:
        return Exit(0, "")


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(smart_tuner.run.slot.time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def slot() -> Slot:
    return Slot(0, 1, "cpu")


def test_the_first_request_counts_unless_the_trial_is_lost(slot: Slot) -> None:
    slot.stop(PRUNE)
    slot.stop(StopRequest(State.INTERRUPTED, Cause.INTERRUPTED, "Ctrl-C"))
    assert slot.stop_request == PRUNE
    lost = StopRequest(State.LOST, Cause.TAKEN_OVER, "another worker has it")
    slot.stop(lost)
    assert slot.stop_request == lost
    slot.clear()
    assert slot.stop_request is None


def test_a_request_before_the_run_is_passed_on_to_it(slot: Slot) -> None:
    slot.stop(PRUNE)
    run = Run()
    with slot.attached(run, waits=False):
        assert run.calls == ["stop"]
    slot.kill()
    assert run.calls == ["stop"], "a run that is over is left alone"


def test_a_run_that_is_silent_for_too_long_is_stopped(slot: Slot, clock: Clock) -> None:
    run = Run()
    with slot.attached(run, waits=False):
        clock.now += 59
        slot.check(None, 1.0)
        with slot.handling_event():
            pass
        clock.now += 59
        slot.check(None, 1.0)
        assert run.calls == []
        clock.now += 2
        slot.check(None, 1.0)
        assert run.calls == ["stop"]
    assert slot.stop_request is not None
    assert (slot.stop_request.then, slot.stop_request.cause) == (State.RETRIED, Cause.SILENT)
    assert slot.stop_request.reason == "the trainer was silent for 1 minutes (`limits.silent_minutes`)"


def test_time_spent_waiting_for_the_store_is_not_silence_of_the_trainer(slot: Slot, clock: Clock) -> None:
    run = Run()
    with slot.attached(run, waits=False):
        with slot.handling_event():
            clock.now += 600
            slot.check(None, 1.0)
        slot.check(None, 1.0)
    assert run.calls == []


def test_a_run_that_takes_too_long_is_pruned(slot: Slot, clock: Clock) -> None:
    run = Run()
    with slot.attached(run, waits=False):
        slot.limit(100)
        clock.now += 99
        slot.check(2.0, 60)
        assert run.calls == []
        clock.now += 2
        slot.check(2.0, 60)
    assert slot.stop_request == StopRequest(State.PRUNED, Cause.TIME, "took longer than 2 hours (`limits.trial_hours`)")


def test_between_two_trials_nothing_is_checked(slot: Slot, clock: Clock) -> None:
    clock.now += 1e6
    slot.check(1.0, 1.0)
    assert slot.stop_request is None


def test_a_run_that_waits_for_capacity_is_not_silent_before_its_first_event(slot: Slot, clock: Clock) -> None:
    run = Run()
    with slot.attached(run, waits=True):
        clock.now += 600
        slot.check(None, 1.0)
        assert run.calls == []
        with slot.handling_event():
            pass
        clock.now += 61
        slot.check(None, 1.0)
        assert run.calls == ["stop"]
