"""What this machine can carry: how many trials at once, how many threads and which device for each."""

import os
import shutil
import subprocess
from dataclasses import dataclass

import psutil

MEMORY_PER_TRIAL = {"tiny": 1.2e9, "full": 5e9}  # bytes; resident size of a CPU trial at the usual batch, rounded up


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
        memory = int(psutil.virtual_memory().available // MEMORY_PER_TRIAL[preset])
        jobs = gpus or max(1, min(cores, memory))
    jobs = max(1, min(jobs, trials))
    devices = tuple(f"cuda:{slot % gpus}" if gpus else device for slot in range(jobs))
    return Capacity(jobs, max(1, cores // jobs), devices)


def count_gpus() -> int:
    """NVIDIA GPUs that the driver shows, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([d for d in visible.split(",") if d.strip() not in ("", "-1")])
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
