"""A trial starts when the device has memory for it, by what other trials hold; alone on a device it never waits."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_gpus
import pytest
from fake_gpus import FakeGpus
from waiting import wait_until

from smart_tuner.machine.admission import MARGIN, DeviceAdmission
from smart_tuner.machine.capacity import Capacity, memory_estimate
from smart_tuner.machine.gpu_leases import Leases

ESTIMATE = memory_estimate("tiny")


class Machine:
    """A machine with a given amount of free memory."""

    def __init__(self, free: float | None) -> None:
        self.free = free

    def __call__(self, device: str) -> float | None:
        return self.free


def _enters(admission: DeviceAdmission, slot: int, device: str = "cpu") -> bool:
    """Whether the slot's trial is admitted at once."""
    cancelled = threading.Event()
    timer = threading.Timer(0.1, cancelled.set)
    timer.start()
    entered = admission.enter(slot, device, cancelled)
    timer.cancel()
    return entered


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.machine.admission.LOOK_SECONDS", 0.01)


def test_the_only_trial_on_a_device_never_waits() -> None:
    admission = DeviceAdmission("tiny", Machine(0))
    assert _enters(admission, 0, "cuda:0")
    assert _enters(admission, 1, "cuda:1")
    assert not _enters(admission, 2, "cuda:1")
    admission.leave(1)
    assert _enters(admission, 2, "cuda:1")


def test_the_estimate_counts_until_something_is_measured() -> None:
    machine = Machine(2 * MARGIN * ESTIMATE)
    admission = DeviceAdmission("tiny", machine)
    assert _enters(admission, 0)
    assert _enters(admission, 1)  # the first one has not taken its memory yet
    assert not _enters(admission, 2)


@pytest.mark.parametrize(("held", "entered"), [(0.4 * ESTIMATE, True), (2 * ESTIMATE, False)])
def test_after_a_measurement_the_largest_one_counts(held: float, entered: bool) -> None:
    machine = Machine(ESTIMATE)
    admission = DeviceAdmission("tiny", machine)
    assert _enters(admission, 0)
    admission.note_held(0, held)
    admission.note_held(0, 0.1 * held)  # a smaller one changes nothing
    assert _enters(admission, 1) is entered


def test_a_waiting_trial_enters_when_another_leaves_or_memory_is_freed() -> None:
    for change in (_leave, _free):
        machine = Machine(0)
        admission = DeviceAdmission("tiny", machine)
        assert _enters(admission, 0)
        assert _enters(admission, 1, "cuda:0")
        entered = threading.Event()
        waiting = threading.Thread(target=_enter_and_set, args=(admission, entered))
        waiting.start()
        assert not entered.wait(0.1)
        change(admission, machine)
        wait_until(entered.is_set, seconds=5)
        waiting.join()


def _enter_and_set(admission: DeviceAdmission, entered: threading.Event) -> None:
    if admission.enter(2, "cpu", threading.Event()):
        entered.set()


def _leave(admission: DeviceAdmission, machine: Machine) -> None:
    admission.leave(0)


def _free(admission: DeviceAdmission, machine: Machine) -> None:
    machine.free = 10 * ESTIMATE


def test_trials_do_not_wait_where_the_free_memory_is_unknown() -> None:
    admission = DeviceAdmission("full", Machine(None))
    assert all(_enters(admission, slot, "cuda:0") for slot in range(8))


def test_a_report_of_a_slot_without_a_trial_is_ignored() -> None:
    admission = DeviceAdmission("tiny", Machine(ESTIMATE))
    admission.note_held(0, 100 * ESTIMATE)
    assert _enters(admission, 0)
    admission.note_held(0, 0.1 * ESTIMATE)
    assert _enters(admission, 1)


# GPUs that others use

STRANGER = 4_194_305  # above any process number that Linux gives
HOLDER = """
import sys
from pathlib import Path
from smart_tuner.machine.gpu_leases import Leases
Leases(Path(sys.argv[1])).take("GPU-0", 2).report(None)
print("taken", flush=True)
input()
"""


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    return fake_gpus.install(tmp_path / "driver", monkeypatch, count=2)


Shared = Callable[..., DeviceAdmission]


@pytest.fixture
def shared(gpus: FakeGpus, tmp_path: Path) -> Shared:
    """Makes the admission of one of several tuners that share the two GPUs. The fake's cards are far too small."""

    def make(each: int = 1, named: bool = False, preset: str = "tiny") -> DeviceAdmission:
        capacity = Capacity(2 * each, 1, ("cuda:0", "cuda:1") * each, each, named)
        return DeviceAdmission(preset, capacity=capacity, leases=Leases(tmp_path / "user" / "devices"))

    return make


@pytest.fixture
def elsewhere(tmp_path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A tuner in another process, with a trial on cuda:0."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "user" / "devices")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"taken\n"
    yield process
    process.kill()
    process.communicate()


def test_a_trial_alone_on_its_gpu_costs_one_call_of_the_driver(shared: Shared, gpus: FakeGpus) -> None:
    admission = shared()
    assert _enters(admission, 0, "cuda:0")
    assert len(gpus.asked()) == 1
    admission.leave(0)
    assert _enters(admission, 0, "cuda:0")
    assert len(gpus.asked()) == 2
    admission.leave(0)


def test_a_slot_is_held_from_entering_to_leaving(shared: Shared) -> None:
    one, other = shared(), shared()
    assert _enters(one, 0, "cuda:0")
    assert not _enters(other, 0, "cuda:0")
    assert _enters(other, 1, "cuda:1")
    one.leave(0)
    assert _enters(other, 0, "cuda:0")
    other.leave(0)
    other.leave(1)


def test_the_holder_of_the_slot_is_logged_once(
    shared: Shared, elsewhere: "subprocess.Popen[bytes]", caplog: pytest.LogCaptureFixture
) -> None:
    admission = shared()
    assert not _enters(admission, 0, "cuda:0")
    (record,) = caplog.records
    assert f"process {elsewhere.pid} runs trials" in record.getMessage()
    assert "cuda:0" in record.getMessage()
    elsewhere.kill()
    elsewhere.wait()
    assert _enters(admission, 0, "cuda:0")
    admission.leave(0)


def test_trials_of_other_tuners_count_on_the_same_card(shared: Shared, elsewhere: "subprocess.Popen[bytes]") -> None:
    admission = shared(each=2)
    assert not _enters(admission, 0, "cuda:0")  # the card is too small for another one, and this one is not alone
    assert [note.pid for note in admission._leases.notes("GPU-0")] == [elsewhere.pid]  # waits without a slot
    assert _enters(admission, 1, "cuda:1")
    elsewhere.kill()
    elsewhere.wait()
    assert _enters(admission, 0, "cuda:0")
    admission.leave(0)
    admission.leave(1)


def test_other_tuners_see_what_a_trial_holds(shared: Shared) -> None:
    one, other = shared(each=2), shared(each=2)
    assert _enters(one, 0, "cuda:0")
    one.note_held(0, 5e6)
    (note,) = one._leases.notes("GPU-0")
    assert note.held == 5e6
    one.leave(0)
    assert one._leases.notes("GPU-0") == []
    assert _enters(other, 0, "cuda:0")
    other.leave(0)


def test_waiting_ends_when_no_trial_is_left(shared: Shared) -> None:
    holder, admission = shared(), shared()
    assert _enters(holder, 0, "cuda:0")
    calls = []

    def is_needed() -> bool:
        calls.append(1)
        return len(calls) < 3

    assert not admission.enter(0, "cuda:0", threading.Event(), is_needed)
    assert len(calls) == 3
    holder.leave(0)


def test_a_gpu_is_left_out_while_others_keep_it_busy(
    shared: Shared, gpus: FakeGpus, caplog: pytest.LogCaptureFixture
) -> None:
    gpus.use(0, 500)
    gpus.hold((0, STRANGER, 500))
    admission = shared()
    assert not _enters(admission, 0, "cuda:0")
    assert _enters(admission, 1, "cuda:1")
    assert not _enters(admission, 0, "cuda:0")
    (record,) = caplog.records
    for text in ("cuda:0 is left out", "0.5 GB, 50%", str(STRANGER)):
        assert text in record.getMessage()
    gpus.use(0, 0)
    assert _enters(admission, 0, "cuda:0")
    admission.leave(0)
    admission.leave(1)


def test_if_all_gpus_are_busy_they_are_used(shared: Shared, gpus: FakeGpus, caplog: pytest.LogCaptureFixture) -> None:
    for card in (0, 1):
        gpus.use(card, 500)
    gpus.hold((0, STRANGER, 500), (1, STRANGER, 500))
    admission = shared()
    for _ in range(2):
        assert _enters(admission, 0, "cuda:0")
        assert _enters(admission, 1, "cuda:1")
        admission.leave(0)
        admission.leave(1)
    assert [record.getMessage().split()[0] for record in caplog.records] == ["cuda:0", "cuda:1"]
    assert "but trials run there, too" in caplog.text


def test_a_busy_gpu_that_the_user_named_is_used_with_a_warning(
    shared: Shared, gpus: FakeGpus, caplog: pytest.LogCaptureFixture
) -> None:
    gpus.use(0, 500)
    gpus.hold((0, STRANGER, 500))
    admission = shared(named=True)
    assert _enters(admission, 0, "cuda:0")
    (record,) = caplog.records
    assert f"process {STRANGER}" in record.getMessage()
    admission.leave(0)


def test_our_own_trials_do_not_make_a_gpu_busy(shared: Shared, gpus: FakeGpus) -> None:
    admission = shared(each=2)
    assert _enters(admission, 0, "cuda:0")
    admission.note_held(0, 500 * 2**20)
    gpus.use(0, 500)
    assert not _enters(admission, 2, "cuda:0")  # for lack of memory
    assert not [call for call in gpus.asked() if "compute-apps" in call]
    admission.note_held(0, 1000.0)  # then others hold the rest
    assert not _enters(admission, 2, "cuda:0")
    assert [call for call in gpus.asked() if "compute-apps" in call]
    admission.leave(0)


def test_a_gpu_of_which_nothing_is_known_is_shared_as_well(shared: Shared, gpus: FakeGpus) -> None:
    gpus.use(0, "[N/A]")
    one, other = shared(), shared()
    assert _enters(one, 0, "cuda:0")
    assert not _enters(other, 0, "cuda:0")
    one.leave(0)
    assert _enters(other, 0, "cuda:0")
    other.leave(0)


def test_the_cpu_has_no_slots(shared: Shared, tmp_path: Path) -> None:
    admission = shared()
    assert _enters(admission, 0, "cpu")
    assert not (tmp_path / "user").exists()
