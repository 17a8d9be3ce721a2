"""What this machine can carry: how many trials at once, how many threads and which device for each."""

import os
import shutil
import subprocess
from dataclasses import dataclass

import psutil

# Bytes that a trial holds, before one was measured. On a CPU tiny held 0.4e9 at batch 16; full 2.1e9 at batch 16 and
# 400 frames, which makes 8.5e9 at batch 32 and the longest clips of LJSpeech.
_MEMORY_PER_TRIAL = {"tiny": 1.2e9, "full": 10e9}


@dataclass(frozen=True)
class Capacity:
    """jobs: trials at once; threads: of the CPU for each; devices: one name per job."""

    jobs: int
    threads: int
    devices: tuple[str, ...]

    def __str__(self) -> str:
        trials = "one trial" if self.jobs == 1 else f"{self.jobs} trials"
        where = ", ".join(sorted(set(self.devices)))
        return f"{trials} at a time on device {where}, {self.threads} CPU thread{'s' * (self.threads > 1)} each"


def capacity(jobs: int | None, device: str, preset: str, trials: int) -> Capacity:
    """jobs: None lets the machine decide: one trial per GPU, else per core as far as memory goes.

    device: auto, cpu, cuda (all GPUs), or one such as cuda:1.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = count_gpus() if device in ("auto", "cuda") else 0
    if jobs is None and device.startswith("cuda"):
        jobs = gpus or 1
    if jobs is None:
        fitting = int(psutil.virtual_memory().available // memory_estimate(preset))
        jobs = gpus or max(1, min(cores, fitting))
    jobs = max(1, min(jobs, trials))
    devices = tuple(f"cuda:{slot % gpus}" if gpus else device for slot in range(jobs))
    return Capacity(jobs, max(1, cores // jobs), devices)


def memory_estimate(preset: str) -> float:
    """Bytes that a trial of `preset` will hold, before one was measured."""
    return _MEMORY_PER_TRIAL[preset]


def free_memory(device: str) -> float | None:
    """Bytes that nobody holds; None for a GPU that the driver does not tell of. device: as in `Capacity`."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return float(psutil.virtual_memory().available)
    query = ["--query-gpu=memory.free", "--format=csv,noheader,nounits", f"--id={gpu_name(int(index or 0))}"]
    told = _nvidia_smi(*query).strip()
    return float(told) * 2**20 if told.isdecimal() else None


def count_gpus() -> int:
    """NVIDIA GPUs that the driver shows, without importing torch."""
    visible = _visible_gpus()
    if visible is not None:
        return len(visible)
    return sum(line.startswith("GPU ") for line in _nvidia_smi("-L").splitlines())


def gpu_name(index: int) -> str:
    """What the driver calls the GPU that torch would call cuda:index here."""
    visible = _visible_gpus()
    return visible[index] if visible else str(index)


def _visible_gpus() -> list[str] | None:
    """Those that the environment leaves to us; None: all."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if told is None else [name for d in told.split(",") if (name := d.strip()) not in ("", "-1")]


def _nvidia_smi(*arguments: str) -> str:
    """Its answer, empty where it cannot be asked, or says nothing for 20 seconds."""
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
