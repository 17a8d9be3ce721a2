"""What `doctor` says of cores, memory and GPUs; the driver is a fake `nvidia-smi`."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from fake_gpus import FakeGpus, install

from smart_tuner.config import load_settings
from smart_tuner.doctor import hardware
from smart_tuner.doctor.hardware import check_cores, check_gpus, check_memory
from trainer.findings import State


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    return install(tmp_path / "bin", monkeypatch, 0)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    """Of 1 GB each, which suffices here for a trial."""
    monkeypatch.setattr(hardware, "memory_estimate", {"tiny": 0.5e9, "full": 9e9}.__getitem__)
    return install(tmp_path / "bin", monkeypatch, 2)


@pytest.mark.parametrize(
    ("free", "state", "mend"),
    [(1e9, State.WARNING, "close other programs"), (4e9, State.NOTE, "preset full"), (64e9, State.OK, "")],
)
def test_memory_is_compared_with_what_trials_need(
    free: float, state: State, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    finding = check_memory()
    assert (finding.state, mend in finding.mend) == (state, True)
    assert finding.found.startswith(f"{free / 1e9:.1f} GB free")


def test_the_trials_at_a_time_are_told(none: FakeGpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(4)))
    finding = check_cores(load_settings(jobs=2))
    assert finding.state is State.OK
    assert "4 CPU cores; 2 trials at a time, 2 CPU threads each" in finding.found


def test_a_device_that_is_not_there_is_an_error(two: FakeGpus) -> None:
    finding = check_cores(load_settings(device="cuda:7"))
    assert finding.state is State.ERROR
    assert "there is no cuda:7 here" in finding.found
    assert finding.mend.startswith("correct this setting")


def test_a_machine_without_a_gpu_is_told(none: FakeGpus) -> None:
    (finding,) = check_gpus()
    assert (finding.state, "trials run on the CPU" in finding.found) == (State.NOTE, True)


def test_gpus_are_listed_and_full_or_busy_ones_are_warnings(two: FakeGpus) -> None:
    assert [finding.state for finding in check_gpus()] == [State.OK, State.OK]
    two.use(0, 990)
    two.use(1, 400)
    two.hold((1, 4711, 400))
    full, busy = check_gpus()
    assert (full.check, full.state) == ("cuda:0 memory", State.WARNING)
    assert "of preset tiny may hold 0.5 GB" in full.found
    assert busy.state is State.WARNING
    assert "held by process 4711" in busy.found


def test_a_driver_that_does_not_know_its_memory_is_a_warning(two: FakeGpus) -> None:
    two.use(1, "[N/A]")
    unknown, card = check_gpus()
    assert (unknown.check, unknown.state, card.state) == ("GPUs", State.WARNING, State.OK)
