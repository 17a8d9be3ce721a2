"""All kernels compile for cards that are not here, and those of the loops keep what they compute with in registers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

SCRIPT = Path(__file__).parents[2] / "support" / "compile_kernels.py"
# This kernel runs once a pass, after the loop. Before 9.0, and in float32, products take their operands from registers.
SPILLING = {"attention_gradients"}
ADDRESSES = 8  # bytes of the stack that are no values of a tile
SHARED = {80: 163 * 1024, 90: 227 * 1024}  # bytes that a program may have on a card


@pytest.mark.slow
@pytest.mark.parametrize("products", ["bfloat16", "float32"])
@pytest.mark.parametrize("attention", ["split", "whole"])
@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_without_spills(capability: int, attention: str, products: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, str(SCRIPT), str(capability), attention, products, "full:128:70", "tiny:64:70"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 2 * (11 if attention == "split" else 9)
    spilling = {kernel["kernel"] for kernel in found if kernel["stack"] > ADDRESSES}
    assert spilling <= (set() if (capability, products) == (90, "bfloat16") else SPILLING)
    assert max(kernel["shared"] for kernel in found) <= SHARED[capability]
