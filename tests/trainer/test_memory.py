"""The allocator keeps freed memory, and held memory is counted without mapped files."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainer.memory import held_bytes

COUNT_FAULTS = """
import resource, sys, torch
from trainer.memory import keep_large_blocks
if sys.argv[1] == "keep":
    assert keep_large_blocks()
torch.set_num_threads(1)
def use():
    torch.ones(20_000_000)
for _ in range(10):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# In a new process: an older one may take the tensor from memory that it freed and kept.
HOLD = """
import sys, torch
from trainer.memory import held_bytes
device = torch.device("cpu")
before = held_bytes(device)
mapped = torch.from_file(sys.argv[1], size=50_000_000, dtype=torch.uint8)
mapped.max()  # reads each page; a sum would first convert the values to int64
print(held_bytes(device) - before)
own = torch.ones(100_000_000, dtype=torch.uint8)
print(held_bytes(device) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_freed_block_is_reused_without_new_pages() -> None:
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", COUNT_FAULTS, mode], capture_output=True, check=True).stdout)
        for mode in ("keep", "give_back")
    }
    assert faults["keep"] < 100
    assert faults["give_back"] > 10 * faults["keep"] + 1000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")
def test_mapped_files_are_not_counted_as_held(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(50_000_000))
    done = subprocess.run([sys.executable, "-c", HOLD, large], capture_output=True, check=True)
    mapped, own = map(int, done.stdout.split())
    assert mapped < 10_000_000
    assert own > 90_000_000


def test_without_proc_the_largest_resident_size_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert held_bytes(torch.device("cpu")) > 100_000_000  # torch alone
