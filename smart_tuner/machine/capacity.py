"""How many trials this machine can run at once, and with how many threads and which device for each."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smart_tuner.errors import SettingsError
from smart_tuner.machine.gpus import count_gpus, gpu_index, held_by_others, read_cards
from smart_tuner.machine.memory import available_memory

# Bytes that a trial is expected to hold, before one was measured. On a CPU, tiny held 0.4e9 at batch 16; full 2.1e9 at
# batch 16 and 400 frames, hence 8.5e9 at batch 32 and the longest clips of LJSpeech. The sizes of a voice are not known
# here: the trainer reads them.
_MEMORY_PER_TRIAL = {"tiny": 1.2e9, "full": 10e9, "voice": 10e9}

# Of control groups version 2, of version 1, of the whole machine.
_MEMORY_EVENTS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
    Path("/proc/vmstat"),
)


@dataclass(frozen=True)
class Capacity:
    """jobs: trials at once; threads: of the CPU for each; devices: one name per job.

    trials_per_device: at once on one GPU, including those of this user's other tuners. named: the user chose the GPUs.
    here: the devices are those of this machine.
    """

    jobs: int
    threads: int
    devices: tuple[str, ...]
    trials_per_device: int = 1
    named: bool = False
    here: bool = True

    def __str__(self) -> str:
        trials = "one trial" if self.jobs == 1 else f"{self.jobs} trials"
        known = sorted(set(self.devices) - {"auto"})  # auto: the trainer chooses, so that nothing is known here
        where = f" on device {', '.join(known)}" if known else ""
        return f"{trials} at a time{where}, {self.threads} CPU thread{'s' * (self.threads > 1)} each"


@dataclass(frozen=True)
class Demand:
    """What an executor is to run, and what the settings request.

    preset: the one that needs the most memory; trials: how many there are in all. jobs: trials at once; None lets the
    executor decide. device: auto, cpu, cuda (all GPUs), or one such as cuda:1. devices: instead, numbers of GPUs, as
    torch counts them here. trials_per_device: at once on one GPU; None is one, or as many as `jobs` requires.
    """

    preset: str
    trials: int
    jobs: int | None = None
    device: str = "auto"
    devices: Sequence[int] | Literal["auto"] = "auto"
    trials_per_device: int | None = None


def machine_capacity(demand: Demand) -> Capacity:
    """By default `trials_per_device` on each GPU; without a GPU, one per core if the memory suffices.

    No more than `trials_per_device` run at once on one GPU, even if `jobs` is larger. If all GPUs may be used, those
    that others keep busy come last. Raises SettingsError for a device that does not exist.
    """
    if demand.trials_per_device is not None and demand.trials_per_device < 1:
        raise SettingsError(f"`trials_per_device`: must be at least 1, but got {demand.trials_per_device}.")
    cores = cpu_cores()
    named = demand.devices != "auto" or ":" in demand.device
    where = _devices(demand.device) if demand.devices == "auto" else _named(demand.devices, demand.device)
    per_device = 1
    if gpu_index(where[0]) is None:
        jobs = demand.jobs or _fitting(cores, demand.preset)
    else:
        per_device = demand.trials_per_device or math.ceil((demand.jobs or 1) / len(where))
        jobs = min(demand.jobs or per_device * len(where), per_device * len(where))
    jobs = min(jobs, demand.trials)
    devices = tuple(where[slot % len(where)] for slot in range(jobs))
    return Capacity(jobs, max(1, cores // jobs), devices, per_device, named)


def cpu_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_kills() -> int:
    """How many processes the kernel has killed for lack of memory, in our control group or on the machine."""
    for path in _MEMORY_EVENTS:
        try:
            counters = dict(line.split(maxsplit=1) for line in path.read_text().splitlines() if " " in line)
        except OSError:
            continue
        if "oom_kill" in counters:
            return int(counters["oom_kill"])
    return 0


def memory_estimate(preset: str) -> float:
    """Bytes that a trial of `preset` is expected to hold, before one was measured."""
    return _MEMORY_PER_TRIAL[preset]


def largest_preset(presets: Iterable[str]) -> str:
    """The one whose trials need the most memory."""
    return max(presets, key=memory_estimate)


def _fitting(cores: int, preset: str) -> int:
    return max(1, min(cores, int(available_memory() // memory_estimate(preset))))


def _devices(device: str) -> list[str]:
    """The devices of the setting `device`, at least one."""
    if ":" in device:
        count = count_gpus()
        if count and (gpu_index(device) or 0) >= count:
            raise SettingsError(f"`device`: there is no {device} here; there {_there_are(count)}. Give one of those.")
        return [device]
    gpus = count_gpus() if device in ("auto", "cuda") else 0
    if gpus < 2:
        return [f"cuda:{index}" for index in range(gpus)] or [device]
    cards = read_cards()
    busy = {name: held_by_others(name, card, ours=0) is not None for name, card in cards.items()}
    return sorted((f"cuda:{index}" for index in range(gpus)), key=lambda name: busy.get(name, False))


def _named(indices: Sequence[int], device: str) -> list[str]:
    """The devices of the setting `devices`, in its order."""
    listed = ",".join(map(str, indices))
    if device not in ("auto", "cuda"):
        raise SettingsError(f"`devices`: got GPU {listed}, but `device` is {device}. Remove one of the two.")
    count = count_gpus()
    if not count:
        raise SettingsError(
            f"`devices`: got {listed}, but no NVIDIA GPU is found here (`nvidia-smi -L` lists them). "
            "Remove `devices` to train on the CPU."
        )
    if not indices:
        raise SettingsError(f"`devices`: is empty; there {_there_are(count)}. Give one, or remove `devices`.")
    for index in indices:
        if not 0 <= index < count:
            raise SettingsError(f"`devices`: there is no GPU {index} here; there {_there_are(count)}. Got {listed}.")
        if indices.count(index) > 1:
            raise SettingsError(
                f"`devices`: GPU {index} is given more than once, got {listed}. "
                "For several trials on one GPU, give it once and raise `trials_per_device`."
            )
    return [f"cuda:{index}" for index in indices]


def _there_are(count: int) -> str:
    return "is 0" if count == 1 else f"are {', '.join(map(str, range(count)))}"
