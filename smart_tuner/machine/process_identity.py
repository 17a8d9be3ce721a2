"""Which process a record means, and whether it is alive: for records that outlive it, in the store and in lock files.

A process number alone does not say. It is given again after a while, means something else in another container, and
starts anew when the machine does.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

_START_TOLERANCE = 2.0  # seconds; where the start is told by a clock, it may be set by a little


@dataclass(frozen=True)
class ProcessIdentity:
    """host: the machine, as `this_machine` names it; started: seconds, as `_started` measures them."""

    host: str
    pid: int
    started: float

    @classmethod
    def of_this_process(cls) -> Self:
        me = psutil.Process()
        return cls(this_machine(), me.pid, _started(me))

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Self:
        """Other keys are passed over. Raises KeyError where one is missing."""
        return cls(record["host"], record["pid"], record["started"])

    def as_mapping(self) -> dict[str, Any]:
        return asdict(self)

    def is_here(self) -> bool:
        """Whether it ran on this machine since its last start, in this container: only then `is_alive` can tell."""
        return self.host == this_machine()

    def is_this_process(self) -> bool:
        return self.is_here() and self.pid == os.getpid() and self.is_alive()

    def is_alive(self) -> bool:
        """Of one that is here. A zombie is not alive."""
        try:
            process = psutil.Process(self.pid)
            same = abs(_started(process) - self.started) < _START_TOLERANCE  # else its number was given again
            return same and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, OSError):
            return False


def this_machine() -> str:
    """Where a process number means what it means here: host, its present boot, and the namespace of numbers in it."""
    parts = [socket.gethostname()]
    if (boot := Path("/proc/sys/kernel/random/boot_id")).exists():
        parts.append(boot.read_text().strip())
    if Path("/proc/self/ns/pid").is_symlink():
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 (a name such as pid:[4026531836], no path)
    return " ".join(parts)


def host_name(machine: str) -> str:
    """The host, for people, of what `this_machine` returned."""
    return machine.partition(" ")[0]


def _started(process: psutil.Process) -> float:
    """Seconds since the machine's own start where that can be told, since its clock may be set meanwhile; else 1970."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return process.create_time()
    return int(stat.read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
