"""How fast an update could be on this machine, how fast it is, and where the rest of the time goes.

    python -m benchmarks.floor [--device cuda] [--cases tiny:16:180 full:16:400] [--json FILE]

The floor counts two things, each at a peak rate that is measured first. The products of an update, counted by torch
with the plain decoder, run at the rate of a large square product. The recurrent weights are read once by every step
forward and once by every step backward, at the rate of a copy of a block of their size; if that takes longer than the
step's products, it counts instead. Elementwise work, memory for activations, launches and the optimiser count as free,
so no program can reach the floor.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import table, write_results
from benchmarks.train_throughput import CASES, Job, OurUpdate, run
from benchmarks.train_throughput import SECONDS as UPDATES_SECONDS
from tests.support.plain_decoder import PlainDecoder
from trainer.model.decoder import Decoder
from trainer.model.matrix_products import prefer_onednn
from trainer.model.recurrence import MakeTape, Runner, Tape

PRECISIONS = {"ours": torch.float32, "ours bf16": torch.bfloat16}
SIDE = {"cpu": 2048, "cuda": 8192}  # of the square product
SECONDS = 1.0  # for each peak
PROFILED = 5  # updates
MODULES = ("encoder", "postnet")
LOOPS: dict[str, Callable[[Decoder], Runner]] = {
    "attention loop": lambda decoder: decoder.attention.runner,
    "decoder LSTM loop": lambda decoder: decoder.lstm_runner,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cases", nargs="+", metavar="SIZE:BATCH:FRAMES", help="default: some for the device")
    parser.add_argument("--variants", nargs="+", choices=list(PRECISIONS), default=list(PRECISIONS))
    parser.add_argument("--seconds", type=float, default=UPDATES_SECONDS, help="of updates that are measured")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    prefer_onednn()
    rows, parts = [], []
    for case in options.cases or CASES[options.device]:
        for variant in options.variants:
            dtype = PRECISIONS[variant]
            job = Job.of(variant, case, options.device, seconds=options.seconds)
            rows.append({"case": case, "precision": str(dtype).removeprefix("torch."), **measure(job, dtype)})
            if options.device == "cpu":
                parts.append({"ms of an update": f"{case} {variant}", **profile(job)})
    print(table(rows))
    if parts:
        print(table(parts))
    if options.json:
        write_results(options.json, {"floors": rows, "parts": parts}, vars(options))


def measure(job: Job, dtype: torch.dtype) -> dict[str, Any]:
    update = OurUpdate(job)
    decoder = update.model.decoder
    total = products_of(update)
    recurrent = 2 * recurrent_products(decoder, job)
    bytes_read = 2 * job.frames * weight_bytes(decoder, dtype)
    peak = product_peak(job.device, dtype)
    copied = copy_peak(job.device, weight_bytes(decoder, dtype))
    stepwise = max(recurrent / peak, bytes_read / copied)
    floor = (total - recurrent) / peak + stepwise
    seconds = run(job)["ms/update"] / 1e3
    frames = job.batch * job.frames
    return {
        "GFLOP": total / 1e9,
        "of it recurrent": recurrent / total,
        "peak GFLOP/s": peak / 1e9,
        "copy GB/s": copied / 1e9,
        "floor ms": floor * 1e3,
        "of it recurrent ms": stepwise * 1e3,
        "floor frames/s": frames / floor,
        "ours ms": seconds * 1e3,
        "ours frames/s": frames / seconds,
        "share of the floor": floor / seconds,
    }


def products_of(update: OurUpdate) -> float:
    """Floating-point operations of all products of one update, forward and back."""
    own = update.model.decoder.__class__
    update.model.decoder.__class__ = PlainDecoder
    try:
        with FlopCounterMode(display=False) as counter:
            update.losses(update.forward()).backward()  # type: ignore[no-untyped-call]
    finally:
        update.model.decoder.__class__ = own
    return float(counter.get_total_flops())


def recurrent_products(decoder: Decoder, job: Job) -> float:
    """Of all steps one way; back it is as many again, those of the weights' gradients not counted."""
    weights = decoder.attention.recurrent_weight().numel() + decoder.lstm.weight_hh.numel()
    return 2.0 * weights * job.batch * job.frames


def weight_bytes(decoder: Decoder, dtype: torch.dtype) -> int:
    return (decoder.attention.recurrent_weight().numel() + decoder.lstm.weight_hh.numel()) * dtype.itemsize


def product_peak(device: str, dtype: torch.dtype) -> float:
    """-> operations per second."""
    side = SIDE[device]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty(side, side, device=device, dtype=dtype)
    return 2.0 * side**3 / fastest(lambda: torch.mm(a, b, out=out), device)


def copy_peak(device: str, size: int) -> float:
    """-> bytes per second that are read, from a block of `size` bytes; they are written as well, which counts too."""
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / fastest(lambda: target.copy_(source), device)


def fastest(function: Callable[[], object], device: str) -> float:
    """-> seconds of the fastest of many calls. The best, since it stands for what the machine can do."""
    best = float("inf")
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begun = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return best


def profile(job: Job) -> dict[str, float]:
    """Milliseconds of each part of an update on the CPU; the parts add up to the total."""
    update = OurUpdate(job)
    update()
    spent: dict[str, list[float]] = defaultdict(list)
    with timed_loops(update.model.decoder, spent), timed_modules(update.model, spent):
        for _ in range(PROFILED):
            with timed("total", spent):
                with timed("forward", spent):
                    output = update.forward()
                with timed("losses", spent):
                    loss = update.losses(output)
                with timed("backward", spent):
                    loss.backward()  # type: ignore[no-untyped-call]
                with timed("clipping and Adam", spent):
                    update.step()
    found = {name: statistics.median(seconds) * 1e3 for name, seconds in spent.items()}
    forward, backward = found.pop("forward"), found.pop("backward")
    found["rest of forward"] = forward - sum(found[name] for name in (*MODULES, *LOOPS))
    found["rest of backward"] = backward - sum(found[f"{name}, back"] for name in LOOPS)
    return {name: found[name] for name in sorted(found, key=found.__getitem__, reverse=True)}


@contextmanager
def timed(name: str, spent: dict[str, list[float]]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    spent[name].append(time.perf_counter() - begun)


@contextmanager
def timed_loops(decoder: Decoder, spent: dict[str, list[float]]) -> Iterator[None]:
    runners = {name: runner_of(decoder) for name, runner_of in LOOPS.items()}
    own = {name: runner.run for name, runner in runners.items()}
    for name, runner in runners.items():
        runner.run = timed_run(name, own[name], spent)
    yield
    for name, runner in runners.items():
        runner.run = own[name]


def timed_run(name: str, run: MakeTape, spent: dict[str, list[float]]) -> MakeTape:
    def timed_forward(*inputs: Any) -> Tape:
        with timed(name, spent):
            return TimedTape(name, run(*inputs), spent)

    return timed_forward


class TimedTape:
    def __init__(self, name: str, tape: Tape, spent: dict[str, list[float]]) -> None:
        self._name = f"{name}, back"
        self._tape = tape
        self._spent = spent

    @property
    def outputs(self) -> tuple[torch.Tensor, ...]:
        return self._tape.outputs

    def backward(self, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        with timed(self._name, self._spent):
            return self._tape.backward(*gradients)


@contextmanager
def timed_modules(model: torch.nn.Module, spent: dict[str, list[float]]) -> Iterator[None]:
    begun: dict[str, float] = {}

    def before(name: str) -> Callable[..., None]:
        return lambda *_: begun.update({name: time.perf_counter()})

    def after(name: str) -> Callable[..., None]:
        return lambda *_: spent[name].append(time.perf_counter() - begun[name])

    hooks = []
    for name in MODULES:
        module = model.get_submodule(name)
        hooks += [module.register_forward_pre_hook(before(name)), module.register_forward_hook(after(name))]
    yield
    for hook in hooks:
        hook.remove()


if __name__ == "__main__":
    main()
