"""A fake `nvidia-smi` on PATH, whose cards and processes a test sets."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

_PROGRAM = r"""#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >> asked
id=
for word; do case "$word" in --id=*) id=${word#--id=};; esac; done
uuid=$(awk -F', ' -v id="$id" '$1 == id || $2 == id {print $2}' cards)
if [ "$id" != "$uuid" ] && [ -z "$uuid" ]; then echo "No devices were found"; exit 6; fi
case "$1" in
  -L) awk -F', ' '{print "GPU " $1 ": H100 (UUID: " $2 ")\n  MIG 1g.10gb  Device 0: (UUID: MIG-1)"}' cards;;
  --query-gpu=*) awk -F', ' -v uuid="$uuid" 'uuid == "" || $2 == uuid' cards;;
  --query-compute-apps=*) awk -F', ' -v uuid="$uuid" '$1 == uuid {print $2 ", " $3}' apps;;
esac
"""


@dataclass
class FakeGpus:
    """Cards of 1000 MiB, GPU-0 and so on. `hold` sets the processes; free memory does not change by it."""

    folder: Path

    def use(self, index: int, used: int | str, busy: int | str = 0) -> None:
        """used: MiB in use on that card; busy: percent of the time."""
        rows = (self.folder / "cards").read_text().splitlines()
        free = 1000 - used if isinstance(used, int) else used
        rows[index] = f"{index}, GPU-{index}, 1000, {used}, {free}, {busy}"
        self._write("cards", rows)

    def hold(self, *processes: tuple[int, int, int | str]) -> None:
        """Each is a card, the id of a process, and the MiB it holds."""
        self._write("apps", [f"GPU-{card}, {pid}, {held}" for card, pid, held in processes])

    def asked(self) -> list[str]:
        """The arguments of each call so far."""
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def _write(self, name: str, rows: list[str]) -> None:
        beside = self.folder / f"{name}.tmp"
        beside.write_text("".join(f"{row}\n" for row in rows))
        beside.replace(self.folder / name)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> FakeGpus:
    """Put it first on PATH; all cards are visible and idle."""
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus = FakeGpus(folder)
    gpus._write("cards", [""] * count)
    for index in range(count):
        gpus.use(index, 0)
    gpus.hold()
    return gpus
