"""Compiles every fused kernel for a CUDA capability without a card, as a pass over zeros would launch it.

    python compile_kernels.py CAPABILITY CARD DTYPE [SIZE...]     such as: 90 split bfloat16 full:128:70

Prints a line of JSON for each kernel: registers, bytes of the stack (spills), bytes of shared memory.
"""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from trainer.model.kernels import tapes
from trainer.model.kernels.settings import Card, card_of

OPTIONS = ("num_warps", "launch_pdl")
TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
WIDTHS = {"full": (1024, 512, 128), "tiny": (128, 128, 64)}  # hidden, memory, attention
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


class Compiler:
    """Stands in for launching: `kernel[grid](...)` compiles."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)
        self.seen = set[str]()

    def compile(self, kernel: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        options = {name: named.pop(name) for name in OPTIONS if name in named}
        given = {**dict(zip(kernel.arg_names, arguments, strict=False)), **named}
        signature: dict[str, str] = {}
        constants: dict[tuple[int], Any] = {}
        attributes: dict[tuple[int], list[list[Any]]] = {}
        for i, parameter in enumerate(kernel.params):
            value = given[parameter.name]
            signature[parameter.name] = _type(parameter, value)
            if parameter.is_constexpr:
                constants[i,] = value
            elif isinstance(value, torch.Tensor) or (
                isinstance(value, int) and not parameter.do_not_specialize and value % 16 == 0
            ):
                attributes[i,] = [["tt.divisibility", 16]]
        key = f"{kernel.__name__} {signature} {constants} {options}"
        if key in self.seen:
            return
        self.seen.add(key)
        source = ASTSource(kernel, signature, constants, attributes)
        made = triton.compile(source, target=self.target, options=options)
        shared = made.metadata.shared
        found = {"kernel": kernel.__name__, **_resources(made.asm["cubin"]), "shared": shared, **options}
        print(json.dumps(found), flush=True)


def _type(parameter: Any, value: Any) -> str:
    if parameter.is_constexpr:
        return "constexpr"
    if isinstance(value, torch.Tensor):
        return f"*{TYPES[value.dtype]}"
    if isinstance(value, int):
        return "i32"
    return f"tensordesc<{TYPES[value.base.dtype]}{list(value.block_shape)}>"


def _resources(binary: bytes) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        command = [str(CUOBJDUMP), "--dump-resource-usage", file.name]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", printed).groups()  # type: ignore[union-attr]
    return {"registers": int(registers), "stack": int(stack)}


def run(card: Card, dtype: torch.dtype, size: str, batch: int, tokens: int) -> None:
    hidden, memory, attention = WIDTHS[size]

    def zeros(*shape: int, of: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.zeros(shape, dtype=of)

    keep = zeros(2, batch, hidden)
    weights = (zeros(attention, 62), zeros(attention, hidden), zeros(attention))
    recurrent = zeros(4 * hidden, hidden + memory)
    memories = (zeros(batch, tokens, memory), zeros(batch, tokens, attention))
    gates = zeros(2, batch, 4 * hidden, of=dtype)
    padding = zeros(batch, tokens)
    tape = tapes.run_attention(card, dtype, gates, recurrent, *memories, *weights, padding, keep)
    tape.backward(zeros(2, batch, hidden + memory, of=dtype), zeros(2, batch, tokens))
    lstm = tapes.run_lstm(card, dtype, gates, zeros(4 * hidden, hidden), keep)
    lstm.backward(zeros(2, batch, hidden, of=dtype))


def main() -> None:
    capability, kind, dtype, *sizes = sys.argv[1:]
    compiler = Compiler(int(capability))

    def instead(kernel: Any, grid: Any) -> Any:
        return lambda *arguments, **named: compiler.compile(kernel, arguments, named)

    JITFunction.__getitem__ = instead
    card = card_of((int(capability) // 10, int(capability) % 10))
    card = replace(card, whole_from=1 if kind == "whole" else None)
    for case in sizes:
        size, batch, tokens = case.split(":")
        run(card, getattr(torch, dtype), size, int(batch), int(tokens))


if __name__ == "__main__":
    main()
