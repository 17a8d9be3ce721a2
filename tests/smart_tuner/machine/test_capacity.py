from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import fake_gpus
import psutil
import pytest
from fake_gpus import FakeGpus

from smart_tuner.errors import SettingsError
from smart_tuner.machine import capacity as machine
from smart_tuner.machine.capacity import Capacity, Demand, machine_capacity, memory_kills

GB = 10**9
STRANGER = 4_194_305  # above any process number that Linux gives


def on_gpus(jobs: int, threads: int, indices: Sequence[int], each: int = 1, named: bool = False) -> Capacity:
    return Capacity(jobs, threads, tuple(f"cuda:{index}" for index in indices), each, named)


@pytest.fixture
def four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    return fake_gpus.install(tmp_path / "driver", monkeypatch, count=4)


@pytest.mark.parametrize(
    ("cores", "memory", "gpus", "jobs", "device", "preset", "trials", "expected"),
    [
        # The machine decides: one trial per core, as far as memory goes.
        (8, 64 * GB, 0, None, "auto", "tiny", 50, Capacity(8, 1, ("auto",) * 8)),
        (8, 6 * GB, 0, None, "auto", "tiny", 50, Capacity(5, 1, ("auto",) * 5)),
        (8, 31 * GB, 0, None, "cpu", "full", 50, Capacity(3, 2, ("cpu",) * 3)),
        (8, 1 * GB, 0, None, "cpu", "full", 50, Capacity(1, 8, ("cpu",))),
        # One per GPU, whatever the cores.
        (16, 64 * GB, 4, None, "auto", "full", 50, on_gpus(4, 4, [0, 1, 2, 3])),
        (2, 64 * GB, 4, None, "cuda", "full", 50, on_gpus(4, 1, [0, 1, 2, 3])),
        (2, 1 * GB, 1, None, "auto", "full", 50, on_gpus(1, 2, [0])),
        # A device that the user named is the only one.
        (4, 64 * GB, 4, 2, "cuda:3", "full", 50, on_gpus(2, 2, [3, 3], 2, named=True)),
        (4, 64 * GB, 4, None, "cpu", "tiny", 50, Capacity(4, 1, ("cpu",) * 4)),
        (64, 64 * GB, 4, None, "cuda:3", "full", 50, on_gpus(1, 64, [3], named=True)),
        (64, 64 * GB, 0, None, "cuda", "full", 50, Capacity(1, 64, ("cuda",))),
        (
            64,
            64 * GB,
            0,
            None,
            "cuda:1",
            "full",
            50,
            on_gpus(1, 64, [1], named=True),
        ),  # nothing known
        # As requested, several to a GPU.
        (4, 64 * GB, 2, 3, "auto", "full", 50, on_gpus(3, 1, [0, 1, 0], 2)),
        (2, 1 * GB, 0, 6, "cpu", "full", 50, Capacity(6, 1, ("cpu",) * 6)),
        # Never more than there are trials.
        (8, 64 * GB, 0, None, "cpu", "tiny", 2, Capacity(2, 4, ("cpu",) * 2)),
        (8, 64 * GB, 4, None, "auto", "full", 1, on_gpus(1, 8, [0])),
        (8, 64 * GB, 0, 5, "cpu", "tiny", 3, Capacity(3, 2, ("cpu",) * 3)),
    ],
)
def test_capacity_follows_from_the_machine_and_the_settings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    memory: int,
    gpus: int,
    jobs: int | None,
    device: str,
    preset: str,
    trials: int,
    expected: Capacity,
) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))
    fake_gpus.install(tmp_path / "driver", monkeypatch, gpus)
    assert machine_capacity(Demand(preset, trials, jobs, device)) == expected


@pytest.mark.parametrize(
    ("jobs", "devices", "each", "expected", "slots"),
    [
        (None, "auto", 2, [0, 1, 2, 3, 0, 1, 2, 3], 2),
        (None, (2, 0), None, [2, 0], 1),
        (None, (2, 0), 3, [2, 0, 2, 0, 2, 0], 3),
        (3, (2, 0), None, [2, 0, 2], 2),  # as many as `jobs` says
        (3, (2, 0), 1, [2, 0], 1),  # unless `trials_per_device` says less
        (1, (2, 0), 2, [2], 2),
    ],
)
def test_trials_are_distributed_over_gpus(
    four: FakeGpus,
    jobs: int | None,
    devices: tuple[int, ...] | Literal["auto"],
    each: int | None,
    expected: list[int],
    slots: int,
) -> None:
    found = machine_capacity(Demand("tiny", 50, jobs, devices=devices, trials_per_device=each))
    assert found == on_gpus(len(expected), found.threads, expected, slots, named=devices != "auto")


def test_gpus_that_others_keep_busy_come_last(four: FakeGpus) -> None:
    four.use(0, 900)
    four.use(2, 900)
    four.hold((0, STRANGER, 900), (2, STRANGER, 900))
    assert machine_capacity(Demand("tiny", 50)).devices == ("cuda:1", "cuda:3", "cuda:0", "cuda:2")
    assert machine_capacity(Demand("tiny", 50, 1)).devices == ("cuda:1",)
    assert machine_capacity(Demand("tiny", 50, devices=(0, 1))).devices == ("cuda:0", "cuda:1")


@pytest.mark.parametrize(
    ("device", "more", "words"),
    [
        ("auto", {"devices": (1, 4)}, ["`devices`", "no GPU 4", "there are 0, 1, 2, 3", "1,4"]),
        ("auto", {"devices": (-1,)}, ["`devices`", "no GPU -1"]),
        (
            "auto",
            {"devices": (1, 0, 1)},
            ["`devices`", "GPU 1 is given more than once", "1,0,1", "`trials_per_device`"],
        ),
        ("auto", {"devices": ()}, ["`devices`", "is empty", "there are 0, 1, 2, 3"]),
        ("cpu", {"devices": (0,)}, ["`devices`", "`device` is cpu", "Remove one"]),
        ("cuda:1", {"devices": (0,)}, ["`devices`", "`device` is cuda:1"]),
        ("cuda:4", {}, ["`device`", "no cuda:4", "there are 0, 1, 2, 3"]),
        ("auto", {"trials_per_device": 0}, ["`trials_per_device`", "at least 1", "got 0"]),
    ],
)
def test_a_device_that_does_not_exist_is_refused(
    four: FakeGpus, device: str, more: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        machine_capacity(Demand("tiny", 50, device=device, **more))
    assert [word for word in words if word not in str(refused.value)] == []


def test_gpus_are_refused_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus.install(tmp_path / "driver", monkeypatch, 0)
    with pytest.raises(SettingsError, match="`devices`: got 0,1, but no NVIDIA GPU is found here"):
        machine_capacity(Demand("tiny", 50, devices=(0, 1)))


def test_capacity_as_text() -> None:
    assert str(Capacity(1, 1, ("auto",))) == "one trial at a time, 1 CPU thread each"
    assert str(Capacity(1, 1, ("cpu",))) == "one trial at a time on device cpu, 1 CPU thread each"
    assert str(Capacity(3, 2, ("cuda:1", "cuda:0", "cuda:1"))) == (
        "3 trials at a time on device cuda:0, cuda:1, 2 CPU threads each"
    )


def test_processes_that_the_kernel_killed_for_memory_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in ("memory.events", "memory.oom_control", "vmstat")]
    monkeypatch.setattr(machine, "_MEMORY_EVENTS", tuple(files))
    assert memory_kills() == 0
    files[2].write_text("nr_free_pages 5\noom_kill 9\n")
    assert memory_kills() == 9
    files[1].write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    assert memory_kills() == 4
    files[0].write_text("low 0\noom 3\noom_kill 2\n")
    assert memory_kills() == 2
