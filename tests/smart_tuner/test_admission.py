"""A trial begins when there is memory for it, by what others were measured to hold, and never waits alone."""

import threading

import pytest
from waiting import wait_until

from smart_tuner.admission import MARGIN, Admission
from smart_tuner.machine import memory_estimate

ESTIMATE = memory_estimate("tiny")


class Machine:
    """Its free memory is what we say."""

    def __init__(self, free: float | None) -> None:
        self.free = free

    def __call__(self, device: str) -> float | None:
        return self.free


def _enters(admission: Admission, slot: int, device: str = "cpu") -> bool:
    """At once, or not at all."""
    given_up = threading.Event()
    timer = threading.Timer(0.1, given_up.set)
    timer.start()
    entered = admission.enter(slot, device, given_up)
    timer.cancel()
    return entered


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.admission.LOOK_SECONDS", 0.01)


def test_the_only_one_on_a_device_never_waits() -> None:
    admission = Admission("tiny", Machine(0))
    assert _enters(admission, 0, "cuda:0")
    assert _enters(admission, 1, "cuda:1")
    assert not _enters(admission, 2, "cuda:1")
    admission.leave(1)
    assert _enters(admission, 2, "cuda:1")


def test_the_estimate_counts_until_something_is_measured() -> None:
    machine = Machine(2 * MARGIN * ESTIMATE)
    admission = Admission("tiny", machine)
    assert _enters(admission, 0)
    assert _enters(admission, 1)  # the first has not taken its part yet
    assert not _enters(admission, 2)


@pytest.mark.parametrize(("held", "entered"), [(0.4 * ESTIMATE, True), (2 * ESTIMATE, False)])
def test_then_the_largest_measured_counts(held: float, entered: bool) -> None:
    machine = Machine(ESTIMATE)
    admission = Admission("tiny", machine)
    assert _enters(admission, 0)
    admission.note_held(0, held)
    admission.note_held(0, 0.1 * held)  # a smaller one does not make it forget
    assert _enters(admission, 1) is entered


def test_one_that_waits_enters_when_another_leaves_or_memory_comes_free() -> None:
    for change in (_leave, _free):
        machine = Machine(0)
        admission = Admission("tiny", machine)
        assert _enters(admission, 0)
        assert _enters(admission, 1, "cuda:0")
        entered = threading.Event()
        waiting = threading.Thread(target=_enter_and_tell, args=(admission, entered))
        waiting.start()
        assert not entered.wait(0.1)
        change(admission, machine)
        wait_until(entered.is_set, seconds=5)
        waiting.join()


def _enter_and_tell(admission: Admission, entered: threading.Event) -> None:
    if admission.enter(2, "cpu", threading.Event()):
        entered.set()


def _leave(admission: Admission, machine: Machine) -> None:
    admission.leave(0)


def _free(admission: Admission, machine: Machine) -> None:
    machine.free = 10 * ESTIMATE


def test_where_nobody_knows_nobody_waits() -> None:
    admission = Admission("full", Machine(None))
    assert all(_enters(admission, slot, "cuda:0") for slot in range(8))


def test_what_a_slot_told_after_it_left_is_forgotten() -> None:
    admission = Admission("tiny", Machine(ESTIMATE))
    admission.note_held(0, 100 * ESTIMATE)
    assert _enters(admission, 0)
    admission.note_held(0, 0.1 * ESTIMATE)
    assert _enters(admission, 1)
