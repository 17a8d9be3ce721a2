"""What this machine can carry: how many trials at once, how many threads and which device for each."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from smart_tuner.errors import SettingsError
from smart_tuner.machine.gpus import count_gpus, gpu_index, held_by_others, look_at_all

# Bytes that a trial holds, before one was measured. On a CPU tiny held 0.4e9 at batch 16; full 2.1e9 at batch 16 and
# 400 frames, which makes 8.5e9 at batch 32 and the longest clips of LJSpeech.
_MEMORY_PER_TRIAL = {"tiny": 1.2e9, "full": 10e9}

# Of the second version of control groups, of the first, of the whole machine.
_MEMORY_EVENTS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
    Path("/proc/vmstat"),
)


@dataclass(frozen=True)
class Capacity:
    """jobs: trials at once; threads: of the CPU for each; devices: one name per job.

    trials_per_device: at once on one GPU, those of other tuners of this user counted. named: the user chose the GPUs.
    here: the devices are this machine's.
    """

    jobs: int
    threads: int
    devices: tuple[str, ...]
    trials_per_device: int = 1
    named: bool = False
    here: bool = True

    def __str__(self) -> str:
        trials = "one trial" if self.jobs == 1 else f"{self.jobs} trials"
        where = ", ".join(sorted(set(self.devices)))
        return f"{trials} at a time on device {where}, {self.threads} CPU thread{'s' * (self.threads > 1)} each"


@dataclass(frozen=True)
class Demand:
    """What trials an executor is to run, and what the settings ask for.

    preset: the one that needs the most memory; trials: no more are to be run. jobs: trials at once; None lets the
    executor decide. device: auto, cpu, cuda (all GPUs), or one such as cuda:1. devices: instead, which GPUs, as torch
    counts them here. trials_per_device: at once on one GPU; None is one, or as many as `jobs` asks for.
    """

    preset: str
    trials: int
    jobs: int | None = None
    device: str = "auto"
    devices: Sequence[int] | Literal["auto"] = "auto"
    trials_per_device: int | None = None


def machine_capacity(demand: Demand) -> Capacity:
    """What this machine holds: by itself `trials_per_device` per GPU, else one per core as far as memory goes.

    No more than `trials_per_device` run at once on one GPU, whatever `jobs` says. Where all GPUs may be used, those
    come first on which others hold no memory. Raises SettingsError for what is not there.
    """
    if demand.trials_per_device is not None and demand.trials_per_device < 1:
        raise SettingsError(f"`trials_per_device`: must be at least 1, but got {demand.trials_per_device}.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    named = demand.devices != "auto" or ":" in demand.device
    where = _devices(demand.device) if demand.devices == "auto" else _named(demand.devices, demand.device)
    each = 1
    if gpu_index(where[0]) is None:
        jobs = demand.jobs or _fitting(cores, demand.preset)
    else:
        each = demand.trials_per_device or math.ceil((demand.jobs or 1) / len(where))
        jobs = min(demand.jobs or each * len(where), each * len(where))
    jobs = min(jobs, demand.trials)
    devices = tuple(where[slot % len(where)] for slot in range(jobs))
    return Capacity(jobs, max(1, cores // jobs), devices, each, named)


def memory_kills() -> int:
    """How many processes the kernel has killed for want of memory: of our control group, or of the machine."""
    for path in _MEMORY_EVENTS:
        try:
            words = dict(line.split(maxsplit=1) for line in path.read_text().splitlines() if " " in line)
        except OSError:
            continue
        if "oom_kill" in words:
            return int(words["oom_kill"])
    return 0


def memory_estimate(preset: str) -> float:
    """Bytes that a trial of `preset` will hold, before one was measured."""
    return _MEMORY_PER_TRIAL[preset]


def largest_preset(presets: Iterable[str]) -> str:
    """The one whose trials need the most memory."""
    return max(presets, key=memory_estimate)


def _fitting(cores: int, preset: str) -> int:
    return max(1, min(cores, int(psutil.virtual_memory().available // memory_estimate(preset))))


def _devices(device: str) -> list[str]:
    """All that the setting `device` means, at least one."""
    if ":" in device:
        count = count_gpus()
        if count and (gpu_index(device) or 0) >= count:
            raise SettingsError(f"`device`: there is no {device} here; there {_there_are(count)}. Name one of those.")
        return [device]
    gpus = count_gpus() if device in ("auto", "cuda") else 0
    if gpus < 2:
        return [f"cuda:{index}" for index in range(gpus)] or [device]
    cards = look_at_all()
    busy = {name: held_by_others(name, card, ours=0) is not None for name, card in cards.items()}
    return sorted((f"cuda:{index}" for index in range(gpus)), key=lambda name: busy.get(name, False))


def _named(indices: Sequence[int], device: str) -> list[str]:
    """Those of the setting `devices`, in its order."""
    listed = ",".join(map(str, indices))
    if device not in ("auto", "cuda"):
        raise SettingsError(f"`devices`: {listed} names GPUs, but `device` is {device}. Remove one of the two.")
    count = count_gpus()
    if not count:
        raise SettingsError(
            f"`devices`: got {listed}, but no NVIDIA GPU is found here (`nvidia-smi -L` lists them). "
            "Remove `devices` to train on the CPU."
        )
    if not indices:
        raise SettingsError(f"`devices`: names none; there {_there_are(count)}. Name one, or remove `devices`.")
    for index in indices:
        if not 0 <= index < count:
            raise SettingsError(f"`devices`: there is no GPU {index} here; there {_there_are(count)}. Got {listed}.")
        if indices.count(index) > 1:
            raise SettingsError(
                f"`devices`: names GPU {index} more than once, got {listed}. "
                "For several trials on one GPU, name it once and raise `trials_per_device`."
            )
    return [f"cuda:{index}" for index in indices]


def _there_are(count: int) -> str:
    return "is 0" if count == 1 else f"are {', '.join(map(str, range(count)))}"
