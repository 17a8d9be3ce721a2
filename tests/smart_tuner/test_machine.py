import subprocess
from types import SimpleNamespace

import pytest

from smart_tuner import machine
from smart_tuner.machine import Capacity, capacity, count_gpus, free_memory, gpu_name

GB = 10**9


@pytest.mark.parametrize(
    ("cores", "memory", "gpus", "jobs", "device", "preset", "trials", "expected"),
    [
        # The machine decides: one trial per core, as far as memory goes.
        (8, 64 * GB, 0, None, "auto", "tiny", 50, Capacity(8, 1, ("auto",) * 8)),
        (8, 6 * GB, 0, None, "auto", "tiny", 50, Capacity(5, 1, ("auto",) * 5)),
        (8, 31 * GB, 0, None, "cpu", "full", 50, Capacity(3, 2, ("cpu",) * 3)),
        (8, 1 * GB, 0, None, "cpu", "full", 50, Capacity(1, 8, ("cpu",))),
        # One per GPU, whatever the cores.
        (16, 64 * GB, 4, None, "auto", "full", 50, Capacity(4, 4, ("cuda:0", "cuda:1", "cuda:2", "cuda:3"))),
        (2, 64 * GB, 4, None, "cuda", "full", 50, Capacity(4, 1, ("cuda:0", "cuda:1", "cuda:2", "cuda:3"))),
        (2, 1 * GB, 1, None, "auto", "full", 50, Capacity(1, 2, ("cuda:0",))),
        # A device that was named is the only one.
        (4, 64 * GB, 4, 2, "cuda:3", "full", 50, Capacity(2, 2, ("cuda:3",) * 2)),
        (4, 64 * GB, 4, None, "cpu", "tiny", 50, Capacity(4, 1, ("cpu",) * 4)),
        (64, 64 * GB, 4, None, "cuda:3", "full", 50, Capacity(1, 64, ("cuda:3",))),
        (64, 64 * GB, 0, None, "cuda", "full", 50, Capacity(1, 64, ("cuda",))),
        # As asked, several to a GPU.
        (4, 64 * GB, 2, 3, "auto", "full", 50, Capacity(3, 1, ("cuda:0", "cuda:1", "cuda:0"))),
        (2, 1 * GB, 0, 6, "cpu", "full", 50, Capacity(6, 1, ("cpu",) * 6)),
        # Never more than there are trials.
        (8, 64 * GB, 0, None, "cpu", "tiny", 2, Capacity(2, 4, ("cpu",) * 2)),
        (8, 64 * GB, 4, None, "auto", "full", 1, Capacity(1, 8, ("cuda:0",))),
        (8, 64 * GB, 0, 5, "cpu", "tiny", 3, Capacity(3, 2, ("cpu",) * 3)),
    ],
)
def test_the_machine_carries(
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
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))
    monkeypatch.setattr(machine, "count_gpus", lambda: gpus)
    assert capacity(jobs, device, preset, trials) == expected


def test_it_is_told_in_words() -> None:
    assert str(Capacity(1, 1, ("cpu",))) == "one trial at a time on device cpu, 1 CPU thread each"
    assert str(Capacity(3, 2, ("cuda:1", "cuda:0", "cuda:1"))) == (
        "3 trials at a time on device cuda:0, cuda:1, 2 CPU threads each"
    )


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,2", 2), ("GPU-1a,GPU-2b,", 2)])
def test_the_environment_says_which_gpus_are_ours(monkeypatch: pytest.MonkeyPatch, visible: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


LISTED = (
    "GPU 0: NVIDIA H100 (UUID: GPU-1)\n  MIG 1g.10gb     Device  0: (UUID: MIG-1)\nGPU 1: NVIDIA H100 (UUID: GPU-2)\n"
)


@pytest.mark.parametrize(("installed", "answer", "count"), [(True, LISTED, 2), (True, "", 0), (False, LISTED, 0)])
def test_without_it_the_driver_is_asked(
    monkeypatch: pytest.MonkeyPatch, installed: bool, answer: str, count: int
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}" if installed else None)
    done = subprocess.CompletedProcess([], 0, stdout=answer)
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: done)
    assert count_gpus() == count


def test_the_memory_of_the_machine_is_that_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=3 * GB))
    assert free_memory("auto") == free_memory("cpu") == 3 * GB


@pytest.mark.parametrize(
    ("visible", "device", "asked", "answer", "free"),
    [
        (None, "cuda:1", "1", "2048\n", 2048 * 2**20),
        ("3,GPU-5", "cuda:1", "GPU-5", "10\n", 10 * 2**20),
        (None, "cuda", "0", "[N/A]\n", None),
        (None, "cuda:7", "7", "No devices were found\n", None),
    ],
)
def test_the_driver_is_asked_for_the_memory_of_that_gpu(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str, asked: str, answer: str, free: float | None
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=answer)

    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(machine.subprocess, "run", run)
    assert free_memory(device) == free
    assert commands[0][-1] == f"--id={asked}"
    assert gpu_name(int(device.partition(":")[2] or 0)) == asked


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("nvidia-smi", 20), OSError("no process left")])
def test_a_driver_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def stall(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(machine.subprocess, "run", stall)
    assert count_gpus() == 0
    assert free_memory("cuda:0") is None
