"""What the driver reports of GPUs, read from a fake `nvidia-smi`."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fake_gpus
import psutil
import pytest
from fake_gpus import FakeGpus

from smart_tuner.machine import gpus as driver
from smart_tuner.machine.gpus import (
    Card,
    count_gpus,
    free_memory,
    gpu_index,
    gpu_name,
    held_by_others,
    holders,
    read_card,
    read_cards,
    wait_for_release,
)
from smart_tuner.machine.process_tree import MARK

MIB = 2**20
STRANGER = 4_194_305  # above any process number that Linux gives


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    return fake_gpus.install(tmp_path / "driver", monkeypatch, count=2)


@pytest.fixture
def trainer() -> Iterator[int]:
    """The number of a process that a tuner has started as a trainer."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, MARK: "x"})
    yield process.pid
    process.communicate(b"\n")


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:3", 3), ("cpu", None), ("auto", None)])
def test_the_name_of_a_device_has_its_index(device: str, index: int | None) -> None:
    assert gpu_index(device) == index


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,2", 2), ("GPU-1a,GPU-2b,", 2)])
def test_the_environment_limits_our_gpus(
    gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch, visible: str, count: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


def test_without_a_limit_the_driver_counts_them(gpus: FakeGpus) -> None:
    assert count_gpus() == 2


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert count_gpus() == 0
    assert read_card("cuda:0") is None


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("nvidia-smi", 20), OSError("no process left")])
def test_a_driver_that_does_not_answer_counts_as_none(
    gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def stall(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(driver.subprocess, "run", stall)
    assert count_gpus() == 0
    assert free_memory("cuda:0") is None
    assert wait_for_release("cuda:0", {1}, 30) == []


def test_one_call_reads_the_memory_of_one_card(gpus: FakeGpus) -> None:
    gpus.use(1, 300, busy=45)
    assert read_card("cuda:1") == Card(1, "GPU-1", 1000 * MIB, 300 * MIB, 700 * MIB, busy=0.45)
    assert free_memory("cuda:1") == 700 * MIB
    assert gpus.asked() == [gpus.asked()[0]] * 2  # one call each
    assert gpus.asked()[0].endswith("--id=1")


def test_a_card_of_which_the_driver_knows_nothing_is_none(gpus: FakeGpus) -> None:
    gpus.use(0, "[N/A]")
    assert read_card("cuda") is None
    assert read_card("cuda:7") is None
    assert free_memory("cuda:7") is None


def test_cards_are_counted_as_the_environment_orders_them(gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-0")
    gpus.use(0, 10)
    assert [gpu_name(0), gpu_name(1), gpu_name(2)] == ["1", "GPU-0", "2"]
    assert {device: card.uuid for device, card in read_cards().items()} == {"cuda:0": "GPU-1", "cuda:1": "GPU-0"}
    card = read_card("cuda:1")
    assert card is not None
    assert card.used == 10 * MIB


def test_the_cpu_is_no_card_and_needs_no_driver(gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3e9))
    assert free_memory("auto") == free_memory("cpu") == 3e9
    assert read_card("cpu") is None
    assert holders("auto") == []
    assert wait_for_release("cpu", {1}, 30) == []
    assert gpus.asked() == []


def test_processes_are_listed_by_card(gpus: FakeGpus) -> None:
    gpus.hold((0, 11, 100), (1, 12, 200), (1, 13, "[N/A]"))
    assert [(holder.pid, holder.held) for holder in holders("cuda:1")] == [(12, 200 * MIB), (13, 0)]


def busy(index: int, ours: float = 0.0) -> driver.Others | None:
    card = read_card(f"cuda:{index}")
    assert card is not None
    return held_by_others(f"cuda:{index}", card, ours)


def test_processes_are_not_read_if_others_hold_only_a_little(gpus: FakeGpus) -> None:
    gpus.use(0, 200)
    gpus.hold((0, STRANGER, 200))
    assert busy(0) is None
    gpus.use(0, 600)
    assert busy(0, ours=400 * MIB) is None
    assert not [call for call in gpus.asked() if "compute-apps" in call]


def test_other_processes_are_named(gpus: FakeGpus) -> None:
    gpus.use(0, 500)
    gpus.hold((0, STRANGER, 400), (0, STRANGER + 1, 90), (1, STRANGER + 2, 100))
    others = busy(0)
    assert others is not None
    assert str(others) == f"0.5 GB, 50% of its memory, are held by process {STRANGER}, {STRANGER + 1}"
    gpus.hold()
    assert str(busy(0)) == "0.5 GB, 50% of its memory, are held by processes that the driver does not name"


def test_trainers_of_this_users_other_tuners_are_not_others(gpus: FakeGpus, trainer: int) -> None:
    gpus.use(0, 500)
    gpus.hold((0, trainer, 400), (0, STRANGER, 90))
    assert busy(0) is None
    gpus.hold((0, trainer, 90), (0, STRANGER, 400))
    others = busy(0)
    assert others is not None
    assert (others.held, others.pids) == (410 * MIB, (STRANGER,))


def test_released_memory_costs_one_call(gpus: FakeGpus) -> None:
    gpus.hold((1, 11, 100), (0, 12, 100))
    assert wait_for_release("cuda:1", {12, 13}, 30) == []
    assert len(gpus.asked()) == 1


def test_it_waits_until_the_memory_is_released(gpus: FakeGpus) -> None:
    gpus.hold((1, 11, 100), (1, 12, 100))
    timer = threading.Timer(0.3, gpus.hold, [(1, 12, 100)])
    timer.start()
    assert wait_for_release("cuda:1", {11}, 30) == []
    assert not timer.is_alive()


def test_processes_that_do_not_release_the_memory_are_returned(gpus: FakeGpus) -> None:
    gpus.hold((1, 11, 100), (1, 12, 100))
    begun = time.monotonic()
    assert wait_for_release("cuda:1", {11, 12, 13}, seconds=0.1) == [11, 12]
    assert time.monotonic() - begun < 5
