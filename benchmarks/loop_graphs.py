"""The trainer with CUDA graphs of the decoder's loops alone, with which graphs of whole updates are compared.

python -m benchmarks.loop_graphs --config FILE
"""

import runpy
from typing import Any

from trainer import updates


def refuse(*arguments: Any) -> None:
    raise updates.CaptureError("so that both can be compared")


if __name__ == "__main__":
    updates._Graphs.run = refuse  # type: ignore[method-assign, assignment]
    runpy.run_module("trainer", run_name="__main__")
