"""A place for trials: what was asked of its run, and when a run has taken or been silent for too long."""

from collections.abc import Iterator

import pytest

import smart_tuner.run.slot
from smart_tuner.executors import Outcome
from smart_tuner.run.slot import Slot
from smart_tuner.verdict import Cause, State, StopRequest
from trainer.protocol import Event

PRUNE = StopRequest(State.PRUNED, Cause.ATTENTION, "attention does not align")


class Run:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def events(self) -> Iterator[Event]:
        return iter(())

    def stop(self) -> None:
        self.asked.append("stop")

    def kill(self) -> None:
        self.asked.append("kill")

    @property
    def outcome(self) -> Outcome:
        return Outcome(0, "")


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


def test_what_was_asked_before_the_run_began_is_passed_on(slot: Slot) -> None:
    slot.stop(PRUNE)
    run = Run()
    with slot.attached(run, waits=False):
        assert run.asked == ["stop"]
    slot.kill()
    assert run.asked == ["stop"], "a run that is over is left alone"


def test_a_run_that_is_silent_for_too_long_is_stopped(slot: Slot, clock: Clock) -> None:
    run = Run()
    with slot.attached(run, waits=False):
        clock.now += 59
        slot.check(None, 1.0)
        with slot.handling_event():
            pass
        clock.now += 59
        slot.check(None, 1.0)
        assert run.asked == []
        clock.now += 2
        slot.check(None, 1.0)
        assert run.asked == ["stop"]
    assert slot.stop_request is not None
    assert (slot.stop_request.then, slot.stop_request.cause) == (State.RETRIED, Cause.SILENT)
    assert slot.stop_request.reason == "the trainer said nothing for 1 minutes (`limits.silent_minutes`)"


def test_while_we_wait_for_the_store_the_trainer_is_not_silent(slot: Slot, clock: Clock) -> None:
    run = Run()
    with slot.attached(run, waits=False):
        with slot.handling_event():
            clock.now += 600
            slot.check(None, 1.0)
        slot.check(None, 1.0)
    assert run.asked == []


def test_a_run_that_takes_longer_than_it_may_is_pruned(slot: Slot, clock: Clock) -> None:
    run = Run()
    with slot.attached(run, waits=False):
        slot.limit(100)
        clock.now += 99
        slot.check(2.0, 60)
        assert run.asked == []
        clock.now += 2
        slot.check(2.0, 60)
    assert slot.stop_request == StopRequest(State.PRUNED, Cause.TIME, "took longer than 2 hours (`limits.trial_hours`)")


def test_between_two_trials_nothing_is_checked(slot: Slot, clock: Clock) -> None:
    clock.now += 1e6
    slot.check(1.0, 1.0)
    assert slot.stop_request is None


def test_one_that_waits_for_room_elsewhere_is_not_silent_until_it_has_begun(slot: Slot, clock: Clock) -> None:
    run = Run()
    with slot.attached(run, waits=True):
        clock.now += 600
        slot.check(None, 1.0)
        assert run.asked == []
        with slot.handling_event():
            pass
        clock.now += 61
        slot.check(None, 1.0)
        assert run.asked == ["stop"]
