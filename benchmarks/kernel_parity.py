"""How far the fused kernels of both recurrences are from torch's operations in float64: outputs and all gradients.

    TRITON_INTERPRET=1 python -m benchmarks.kernel_parity [--cases small]
    python -m benchmarks.kernel_parity --device cuda --cases tiny full --dtype bfloat16

Inputs are random, with padding; beside the kernels' errors stand those of torch's operations in the same precision.
An error is the norm of a difference, relative to the norm. Without a GPU, Triton's interpreter runs the kernels.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.report import table, write_results
from trainer.model.attention_steps import run_attention
from trainer.model.kernels import choice, tapes
from trainer.model.kernels.settings import Card
from trainer.model.lstm import run_lstm
from trainer.model.recurrence import Tape

OF_ATTENTION = ("states", "weights", "gates", "recurrent", "values", "projected", "location", "query", "energy")
OF_LSTM = ("hidden", "gates", "weight")
EXACT = 2e-5  # the largest error in float32
Inputs = Sequence[Tensor | None]
Run = Callable[..., Tape]


@dataclass(frozen=True)
class Case:
    steps: int
    batch: int
    tokens: int
    hidden: int
    memory: int
    attention: int
    kernel: int
    dropout: bool = True
    weights_used: bool = True  # the loss depends on the attention weights


def _full(steps: int, batch: int, tokens: int) -> Case:
    return Case(steps, batch, tokens, hidden=1024, memory=512, attention=128, kernel=31)


CASES: Mapping[str, Sequence[Case]] = {
    "least": (Case(3, 3, 12, 14, 12, 8, 5),),
    "small": (
        Case(5, 3, 12, 14, 12, 8, 5),
        Case(4, 2, 37, 32, 16, 16, 7, dropout=False, weights_used=False),
        Case(3, 17, 33, 16, 32, 24, 31),
        Case(3, 1, 70, 48, 20, 128, 31),
    ),
    "tiny": (Case(12, 70, 70, 128, 128, 64, 31),),
    "full": (_full(20, 64, 70), _full(20, 128, 70)),
    "long": (_full(60, 64, 139), _full(60, 128, 70)),
}
CARDS: Mapping[str, Card] = {
    "split": Card(),
    "whole": Card(whole_from=1),
    "tiles": Card(
        overrides={
            f"{kind} {kernel}": {"TMA": 1} for kind in ("attention", "lstm") for kernel in ("forward", "product")
        }
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["small"])
    parser.add_argument("--cards", nargs="+", choices=list(CARDS), help="default: without a GPU all, else its own")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
        mend_interpreter()
    torch.set_float32_matmul_precision("highest" if options.dtype == "float32" else "high")
    cards = {name: CARDS[name] for name in options.cards or CARDS}
    if options.device == "cuda" and not options.cards:
        cards = {"own": choice.card(torch.device("cuda"))}
    rows = []
    for name, card in cards.items():
        for case in (case for cases in options.cases for case in CASES[cases]):
            rows += measure(case, options.device, getattr(torch, options.dtype), card, name)
    print(table(rows))
    if options.json:
        write_results(options.json, {"rows": rows}, vars(options))
    else:
        print(json.dumps({"largest": max(row["fused"] for row in rows)}))


def measure(case: Case, device: str, dtype: torch.dtype, card: Card, name: str = "") -> list[dict[str, Any]]:
    """A row for each output and gradient."""
    rows = []
    for kind, names, make, plain, fused in (
        ("attention", OF_ATTENTION, _attention_inputs, run_attention, tapes.run_attention),
        ("lstm", OF_LSTM, _lstm_inputs, run_lstm, tapes.run_lstm),
    ):
        inputs, gradients = (_to(xs, device) for xs in make(case, torch.Generator().manual_seed(0)))
        gates = dtype if device == "cuda" else torch.float32
        want = _passed(partial(plain, torch.float64, True), _to(inputs, device, torch.float64), gradients)
        found = _passed(partial(fused, card, dtype), _in(inputs, gates), gradients)
        ours = _passed(partial(plain, dtype, True), _in(inputs, gates), gradients)
        rows += [
            {
                "card": name,
                "case": f"T{case.steps} B{case.batch} N{case.tokens} H{case.hidden}",
                "tape": kind,
                "of": what,
                "fused": _error(a, c),
                "torch": _error(b, c),
            }
            for what, a, b, c in zip(names, found, ours, want, strict=True)
        ]
    return rows


def mend_interpreter() -> None:
    """Let Triton's interpreter, if it runs the kernels, multiply numbers in bf16; it multiplies their bits."""
    from triton import knobs, language
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    if not knobs.runtime.interpret:
        return
    dot = InterpreterBuilder.create_dot

    def widened(x: Any) -> Any:
        if x.dtype != language.bfloat16:
            return x
        return TensorHandle((x.data.astype(np.uint32) << 16).view(np.float32), language.float32)

    InterpreterBuilder.create_dot = lambda self, a, b, *rest: dot(self, widened(a), widened(b), *rest)


def _attention_inputs(case: Case, generator: torch.Generator) -> tuple[Inputs, Inputs]:
    """Inputs of `run_attention`, in float32, and gradients of its outputs."""
    steps, batch, tokens = case.steps, case.batch, case.tokens
    hidden, width, attention = case.hidden, case.hidden + case.memory, case.attention
    draw = partial(torch.randn, generator=generator)
    lengths = torch.randint(max(1, tokens // 2), tokens + 1, (batch,), generator=generator)
    lengths[0] = tokens
    there = torch.arange(tokens)[None] < lengths[:, None]
    inputs = [
        draw(steps, batch, 4 * hidden),
        draw(4 * hidden, width) * width**-0.5,
        draw(batch, tokens, case.memory),
        draw(batch, tokens, attention),
        draw(attention, 2 * case.kernel) * 0.3,
        draw(attention, hidden) * 2 * hidden**-0.5,
        draw(attention) * 6 * attention**-0.5,
        torch.zeros(batch, tokens).masked_fill(~there, -torch.inf),
        _dropout(case, generator),
    ]
    dweights = draw(steps, batch, tokens) if case.weights_used else None
    return inputs, [draw(steps, batch, width), dweights]


def _lstm_inputs(case: Case, generator: torch.Generator) -> tuple[Inputs, Inputs]:
    draw = partial(torch.randn, generator=generator)
    hidden = case.hidden
    gates = draw(case.steps, case.batch, 4 * hidden)
    weight = draw(4 * hidden, hidden) * hidden**-0.5
    return [gates, weight, _dropout(case, generator)], [draw(case.steps, case.batch, hidden)]


def _dropout(case: Case, generator: torch.Generator) -> Tensor | None:
    if not case.dropout:
        return None
    return (torch.rand(case.steps, case.batch, case.hidden, generator=generator) > 0.1).float() / 0.9


def _to(xs: Inputs, device: str, dtype: torch.dtype = torch.float32) -> list[Tensor | None]:
    return [None if x is None else x.to(device, dtype, copy=True) for x in xs]


def _in(inputs: Inputs, gates: torch.dtype) -> list[Tensor | None]:
    """A copy, since a tape overwrites the gates, which come in the precision of the products."""
    return [None if x is None else x.to(gates if i == 0 else x.dtype, copy=True) for i, x in enumerate(inputs)]


def _passed(run: Run, inputs: Inputs, gradients: Inputs) -> list[Tensor]:
    """Outputs, and gradients of the inputs that have one."""
    tape = run(*inputs)
    outputs = [x.clone() for x in tape.outputs]
    given = [None if g is None else g.to(x.dtype) for g, x in zip(gradients, outputs, strict=True)]
    return [*outputs, *(x.clone() for x in tape.backward(*given) if x is not None)]


def _error(found: Tensor, wanted: Tensor) -> float:
    """inf where something is not finite."""
    error = ((found.double() - wanted).norm() / wanted.norm()).item()
    return error if error < float("inf") else float("inf")


if __name__ == "__main__":
    main()
