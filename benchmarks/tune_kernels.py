"""Finds the fastest settings of the fused kernels on this card, and writes them into the trainer's table.

    python -m benchmarks.tune_kernels [--sizes full:128 full:64 tiny:64] [--attention whole] [--write] [--json FILE]

A size is preset:batch. Each kernel runs alone, in a chain of launches in a CUDA graph, with each of its candidates.
Without --write the table is only printed. An entry that is written counts as not checked; `benchmarks.kernels` checks
it. All candidates are compiled first, in as many processes as there are cores: about 40 s on 16. With `--device cpu`
Triton's interpreter runs one candidate of each kernel, to test this program.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import ROOT, write_results
from trainer.config import TrainerConfig
from trainer.data.processes import cores
from trainer.model.kernels import choice, settings, tapes
from trainer.model.kernels.settings import Card, Settings

STEPS = 40  # launches in a graph
REPLAYS = 5
TOKENS = 70
WORTH = 0.98  # a candidate must take at most this share of the defaults' time
TILES = {"TMA": 1}


def _forward() -> Iterator[Settings]:
    for rows in (16, 32, 64, 128):
        for warps in (4, 8):
            yield {"BM": rows, "num_warps": warps, **TILES}
    yield {"BK": 64, "STAGES": 6, **TILES}
    yield {"BH": 8, **TILES}


def _product() -> Iterator[Settings]:
    yield TILES
    for columns, warps in ((64, 4), (64, 8), (128, 4), (128, 8)):
        yield {"BN": columns, "num_warps": warps, "STAGES": 4, **TILES}
    yield {"BM": 64, "BN": 128, "num_warps": 4, "STAGES": 4, **TILES}
    yield {"BN": 64, "BK": 64, "STAGES": 5, **TILES}
    yield {"BN": 64, "BK": 128, "STAGES": 3, **TILES}
    yield {"most_splits": 8, "STAGES": 4, **TILES}


def _lstm_backward() -> Iterator[Settings]:
    for rows, units in ((16, 32), (16, 64), (32, 16), (64, 16)):
        for warps in (4, 8):
            yield {"BM": rows, "BH": units, "num_warps": warps}


def _tokens() -> Iterator[Settings]:
    for tokens in (16, 32, 64):
        for warps in (4, 8):
            yield {"BN": tokens, "num_warps": warps}


def _context() -> Iterator[Settings]:
    for columns in (64, 128, 256):
        for warps in (4, 8):
            yield {"BE": columns, "num_warps": warps}


CANDIDATES: Mapping[str, Callable[[], Iterator[Settings]]] = {
    "attention forward": _forward,
    "lstm forward": _forward,
    "attention product": _product,
    "lstm product": _product,
    "lstm backward": _lstm_backward,
    "attention gradients": _tokens,
}
OF_ATTENTION: Mapping[str, Mapping[str, Callable[[], Iterator[Settings]]]] = {
    "split": {
        "energies": _tokens,
        "context": _context,
        "weights backward": _tokens,
        "energies backward": _tokens,
    },
    "whole": {"attend": _tokens, "attend backward": _tokens},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--sizes", nargs="+", default=["full:128", "full:64", "tiny:64"], metavar="PRESET:BATCH")
    parser.add_argument("--attention", choices=list(OF_ATTENTION), help="default: that of the table")
    parser.add_argument("--write", action="store_true", help="put the best into the trainer's table")
    parser.add_argument("--json", type=Path, help="write all times there")
    parser.add_argument("--compile", nargs=2, type=int, metavar=("SHARD", "SHARDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write and options.device != "cuda":
        parser.error("--write needs --device cuda: the table is of measured cards")
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_float32_matmul_precision("high")
    card = replace(choice.card(torch.device("cuda")), sizes=()) if options.device == "cuda" else Card()
    if options.attention:
        card = replace(card, whole_from=1 if options.attention == "whole" else None)
    most = None if options.device == "cuda" else 1
    if options.compile:
        shard, shards = options.compile
        for size, kernel, candidate in list(_jobs(options.sizes, card))[shard::shards]:
            _time(size, kernel, candidate, card, compiling=True)
        return
    if options.device == "cuda":
        _compile()
    rows = []
    for size, kernel, candidate in _jobs(options.sizes, card, most):
        microseconds = _time(size, kernel, candidate, card)
        rows.append({"size": size, "kernel": kernel, "settings": candidate, "us": microseconds})
        print(f"{size:9} {kernel:20} {microseconds:9.2f} us  {candidate}", flush=True)
    entry = {
        "checked": False,
        "dependent_launch": card.dependent_launch,
        "whole_from": card.whole_from,
        "sizes": [_best(size, rows) for size in options.sizes],
    }
    print(json.dumps(entry, indent=2))
    if options.write:
        table = json.loads(settings.TABLE.read_text())
        table["{}.{}".format(*torch.cuda.get_device_capability())] = entry
        settings.TABLE.write_text(json.dumps(table, indent=2) + "\n")
    if options.json:
        write_results(options.json, {"rows": rows, "entry": entry}, vars(options))


def _jobs(sizes: Sequence[str], card: Card, most: int | None = None) -> Iterator[tuple[str, str, Settings]]:
    """most: candidates of each kernel."""
    for size in sizes:
        is_whole = card.is_whole(int(size.partition(":")[2]))
        kernels = {**CANDIDATES, **OF_ATTENTION["whole" if is_whole else "split"]}
        for kernel, candidates in kernels.items():
            for candidate in ({}, *islice(candidates(), most)):
                yield size, kernel, candidate


def _compile() -> None:
    shards = cores()
    command = [sys.executable, "-m", "benchmarks.tune_kernels", *sys.argv[1:], "--compile"]
    started = [
        subprocess.Popen([*command, str(i), str(shards)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        for i in range(shards)
    ]
    for process in started:
        process.wait()


def _best(size: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    preset, batch = size.split(":")
    kernels = {}
    for kernel in dict.fromkeys(row["kernel"] for row in rows if row["size"] == size):
        default, *others = (row for row in rows if row["size"] == size and row["kernel"] == kernel)
        best = min(others, key=lambda row: float(row["us"]))
        if best["us"] < WORTH * default["us"]:
            kernels[kernel] = best["settings"]
    hidden = TrainerConfig.from_mapping({"preset": preset}).model.attention_rnn_dim
    return {"hidden": hidden, "batch": int(batch), "kernels": kernels}


def _time(size: str, kernel: str, candidate: Settings, card: Card, compiling: bool = False) -> float:
    """Microseconds of one launch; inf where the card refuses the settings."""
    steps = STEPS if torch.cuda.is_available() and not compiling else 2
    try:
        launch = _launch(size, kernel, replace(card, overrides={kernel: candidate}), steps)
        launch(1)
        if compiling:
            return 0.0
        return _of_a_chain(launch, 1 if kernel == "attention gradients" else steps)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception:  # of a compiler or a driver: too much shared memory, too many registers
        return float("inf")


def _of_a_chain(launch: Callable[[int], object], count: int) -> float:
    if not torch.cuda.is_available():
        begun = time.perf_counter()
        for t in range(count):
            launch(t)
        return (time.perf_counter() - begun) / count * 1e6
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for t in range(count):
            launch(t)
    graph.replay()
    milliseconds = []
    for _ in range(REPLAYS):
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        milliseconds.append(start.elapsed_time(end))
    return float(statistics.median(milliseconds)) / count * 1e3


def _launch(size: str, kernel: str, card: Card, steps: int) -> Callable[[int], object]:
    """A function that launches `kernel` (or the pair of attention's kernels that it is of) for one step."""
    preset, text = size.split(":")
    batch = int(text)
    model = TrainerConfig.from_mapping({"preset": preset}).model
    hidden, memory, attention = model.attention_rnn_dim, model.encoder_dim, model.attention_dim

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def draw(*shape: int, of: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(shape, device=device).to(of) * 0.1

    low = torch.bfloat16
    gates = draw(steps, batch, 4 * hidden, of=low)
    keep = torch.ones(steps, batch, hidden, device=device)
    if kernel.startswith("lstm") and kernel != "lstm backward":
        plain = tapes.run_lstm(card, low, gates, draw(4 * hidden, hidden), keep)
        plain.lstm.start_backward(draw(steps, batch, hidden, of=low))
        return plain.lstm.step if kernel == "lstm forward" else plain.lstm.product_backward
    memories = (draw(batch, TOKENS, memory), draw(batch, TOKENS, attention))
    weights = (draw(attention, 2 * model.location_kernel), draw(attention, hidden), draw(attention))
    recurrent = draw(4 * hidden, hidden + memory)
    padding = torch.zeros(batch, TOKENS, device=device)
    tape = tapes.run_attention(card, low, gates, recurrent, *memories, *weights, padding, keep)
    tape.start_backward(draw(steps, batch, hidden + memory, of=low), draw(steps, batch, TOKENS))
    return {
        "attention forward": lambda t: tape.lstm.step(t, tape.query, tape.partial),
        "attention product": tape.lstm.product_backward,
        "lstm backward": lambda t: tape.lstm.gates_backward(t, tape.query, tape.dqueries, tape.dquery),
        "energies": tape.attend,
        "context": tape.attend,
        "attend": tape.attend,
        "weights backward": tape.attend_backward,
        "energies backward": tape.attend_backward,
        "attend backward": tape.attend_backward,
        "attention gradients": lambda t: tape.sum_gradients(),
    }[kernel]


if __name__ == "__main__":
    main()
