"""The GPUs of this machine and the processes that hold their memory, by NVIDIA's driver (`nvidia-smi`), without torch.

Devices have torch's names: cuda:1 is the second GPU in CUDA_VISIBLE_DEVICES, "cuda" the first. Any other name means the
CPU. If `nvidia-smi` is missing or does not answer, nothing is known of a GPU. In a container it may report no process
numbers, or those of another namespace.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass

from smart_tuner.child_environment import Child, environment_for
from smart_tuner.machine.memory import available_memory
from smart_tuner.machine.process_tree import is_trainer

BUSY_SHARE = 0.2  # of a card's memory; a desktop and a few idle contexts hold less
_LOOK_SECONDS = 0.2
_MIB = 2**20
_CARD = "index,uuid,memory.total,memory.used,memory.free,utilization.gpu"


@dataclass(frozen=True)
class Card:
    """A GPU. index: in the driver's order; total, used, free: bytes of its memory.

    busy: share of the last moments in which it computed; None where the driver does not report it.
    """

    index: int
    uuid: str
    total: float
    used: float
    free: float
    busy: float | None = None


@dataclass(frozen=True)
class Holder:
    """A process that holds memory of a GPU. held: bytes, 0 where the driver does not report them."""

    pid: int
    held: float


@dataclass(frozen=True)
class Others:
    """What processes other than trainers of this user's tuners hold of a card. pids: empty where they are unknown."""

    held: float  # bytes
    share: float  # of the card's memory
    pids: tuple[int, ...]

    def __str__(self) -> str:
        numbers = ", ".join(map(str, self.pids))
        processes = f"process {numbers}" if self.pids else "processes that the driver does not name"
        return f"{self.held / 1e9:.1f} GB, {self.share:.0%} of its memory, are held by {processes}"


def gpu_index(device: str) -> int | None:
    """1 for cuda:1, 0 for cuda, None for anything else."""
    kind, _, index = device.partition(":")
    return int(index or 0) if kind == "cuda" else None


def count_gpus() -> int:
    """NVIDIA GPUs that the driver reports and CUDA_VISIBLE_DEVICES allows."""
    visible = _visible_gpus()
    if visible is not None:
        return len(visible)
    return sum(line.startswith("GPU ") for line in _nvidia_smi("-L").splitlines())


def gpu_name(index: int) -> str:
    """The driver's name of the GPU that torch calls cuda:index here."""
    visible = _visible_gpus()
    return visible[index] if visible and index < len(visible) else str(index)


def free_memory(device: str) -> float | None:
    """Free bytes of memory; None for a GPU of which nothing is known."""
    if gpu_index(device) is None:
        return available_memory()
    card = read_card(device)
    return card.free if card else None


def read_card(device: str) -> Card | None:
    """One call of nvidia-smi for a GPU; None for the CPU, and for a GPU of which nothing is known."""
    if (index := gpu_index(device)) is None:
        return None
    cards = _cards(f"--id={gpu_name(index)}")
    return cards[0] if len(cards) == 1 else None


def read_cards() -> dict[str, Card]:
    """All GPUs that we may use and the driver reports, by device; one call of nvidia-smi."""
    cards = _cards()
    found = {}
    for index in range(count_gpus()):
        name = gpu_name(index)
        matching = [card for card in cards if name == str(card.index) or card.uuid.startswith(name)]
        if len(matching) == 1:
            found[f"cuda:{index}"] = matching[0]
    return found


def holders(device: str) -> list[Holder]:
    """The processes that compute on a GPU; one call of nvidia-smi, none for the CPU."""
    if (index := gpu_index(device)) is None:
        return []
    query = ("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits", f"--id={gpu_name(index)}")
    rows = [line.split(", ") for line in _nvidia_smi(*query).splitlines()]
    return [Holder(int(row[0]), _mebibytes(row[1]) or 0) for row in rows if len(row) == 2 and row[0].isdecimal()]


def held_by_others(device: str, card: Card, ours: float) -> Others | None:
    """What others hold of `card` besides trainers of this user, if that is more than BUSY_SHARE; else None.

    ours: bytes that our trainers have reported. The driver is asked for processes only if the rest is that much.
    """
    if card.used - ours <= BUSY_SHARE * card.total:
        return None
    trainers = 0.0
    pids = []
    for holder in holders(device):
        if is_trainer(holder.pid):
            trainers += holder.held
        else:
            pids.append(holder.pid)
    held = card.used - max(ours, trainers)
    return Others(held, held / card.total, tuple(pids)) if held > BUSY_SHARE * card.total else None


def wait_for_release(device: str, pids: Collection[int], seconds: float) -> list[int]:
    """Wait until none of `pids` holds memory of a GPU; returns those that still hold it after `seconds`.

    One call of nvidia-smi if none does; no call for the CPU.
    """
    deadline = time.monotonic() + seconds
    while left := sorted({holder.pid for holder in holders(device)} & set(pids)):
        if time.monotonic() > deadline:
            return left
        time.sleep(_LOOK_SECONDS)
    return []


def _cards(*which: str) -> list[Card]:
    rows = _nvidia_smi(f"--query-gpu={_CARD}", "--format=csv,noheader,nounits", *which).splitlines()
    return [card for row in rows if (card := _card(row.split(", ")))]


def _card(row: list[str]) -> Card | None:
    if len(row) != _CARD.count(",") + 1 or not row[0].isdecimal():
        return None
    total, used, free = map(_mebibytes, row[2:5])
    busy = int(row[5]) / 100 if row[5].strip().isdecimal() else None
    return None if total is None or used is None or free is None else Card(int(row[0]), row[1], total, used, free, busy)


def _mebibytes(text: str) -> float | None:
    return float(text) * _MIB if text.strip().isdecimal() else None


def _visible_gpus() -> list[str] | None:
    """The GPUs that CUDA_VISIBLE_DEVICES allows; None: all."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if value is None else [name for part in value.split(",") if (name := part.strip()) not in ("", "-1")]


def _nvidia_smi(*arguments: str) -> str:
    """Its output; empty where it is missing, fails to start, or takes longer than 20 seconds."""
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env=environment_for(Child.NVIDIA_SMI),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
