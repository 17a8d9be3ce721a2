"""Which process a record means, and whether it is alive: for records that outlive it, in the store and in lock files.

The number of a process is not enough: it is reused after a while and after a restart of the machine, and another
container has the same numbers.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

_START_TOLERANCE = 2.0  # seconds; the clock may have been set by a little, where the start is measured by it


@dataclass(frozen=True)
class ProcessIdentity:
    """host: the machine, as `this_machine` names it; started: seconds, as `_started` measures them."""

    host: str
    pid: int
    started: float

    @classmethod
    def of_this_process(cls) -> Self:
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Self:
        """Raises psutil.NoSuchProcess, or OSError, where there is none on this machine."""
        return cls(this_machine(), pid, _started(psutil.Process(pid)))

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Self:
        """Ignores other keys. Raises KeyError where one is missing."""
        return cls(record["host"], record["pid"], record["started"])

    def as_mapping(self) -> dict[str, Any]:
        return asdict(self)

    def is_here(self) -> bool:
        """Whether it ran on this machine since its last start, and in this container. Only then call `is_alive`."""
        return self.host == this_machine()

    def is_this_process(self) -> bool:
        return self.is_here() and self.pid == os.getpid() and self.is_alive()

    def is_alive(self) -> bool:
        """Only for a process that is here. A zombie is not alive, unless another of its threads is still there."""
        try:
            process = psutil.Process(self.pid)
            same = abs(_started(process) - self.started) < _START_TOLERANCE  # else its number was reused
            return same and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
        except (psutil.NoSuchProcess, OSError):
            return False


def this_machine() -> str:
    """Identifies where process numbers are the same as here: the host, its present boot, the namespace of numbers."""
    parts = [socket.gethostname()]
    if (boot := Path("/proc/sys/kernel/random/boot_id")).exists():
        parts.append(boot.read_text().strip())
    if Path("/proc/self/ns/pid").is_symlink():
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 (a name such as pid:[4026531836], no path)
    return " ".join(parts)


def host_name(machine: str) -> str:
    """The host's name, for people. machine: a result of `this_machine`."""
    return machine.partition(" ")[0]


def _started(process: psutil.Process) -> float:
    """When it started, in seconds since the machine's start, which setting the clock does not change; or since 1970.

    The latter where there is no /proc.
    """
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return process.create_time()
    return int(stat.read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
