"""The allocator keeps what a process will need again."""

import subprocess
import sys

import pytest

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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_freed_block_is_used_again_without_new_pages() -> None:
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", COUNT_FAULTS, mode], capture_output=True, check=True).stdout)
        for mode in ("keep", "give_back")
    }
    assert faults["keep"] < 100
    assert faults["give_back"] > 10 * faults["keep"] + 1000
