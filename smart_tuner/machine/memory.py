"""How much memory is free for another process: of the machine, or of a container's limit, whichever is less.

Inside a container the system reports the memory of the whole machine. The limit is in the files of the control group,
which the container sees at the root of `/sys/fs/cgroup`.
"""

from contextlib import suppress
from pathlib import Path

import psutil

CONTROL_GROUP = Path("/sys/fs/cgroup")
# Names of the limit, of what is used, and of the pages of files among it that the kernel takes back when it needs them.
_VERSION_2 = ("memory.max", "memory.current", "memory.stat", "inactive_file")
_VERSION_1 = (
    "memory/memory.limit_in_bytes",
    "memory/memory.usage_in_bytes",
    "memory/memory.stat",
    "total_inactive_file",
)


def available_memory(group: Path = CONTROL_GROUP) -> float:
    """Bytes, never less than 0."""
    of_machine = float(psutil.virtual_memory().available)
    left = [free for names in (_VERSION_2, _VERSION_1) if (free := _left_in(group, *names)) is not None]
    return min([of_machine, *left])


def _left_in(group: Path, limit: str, used: str, statistics: str, reclaimable: str) -> float | None:
    """None where there is no limit, or no such file."""
    with suppress(OSError, ValueError, KeyError):  # ValueError: a limit of "max"
        pages = dict(line.split() for line in (group / statistics).read_text("utf-8").splitlines())
        held = int((group / used).read_text("utf-8")) - int(pages[reclaimable])
        return max(0.0, float(int((group / limit).read_text("utf-8")) - held))
    return None
