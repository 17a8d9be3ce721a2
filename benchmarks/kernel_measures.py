"""The measures of `benchmarks.kernels`: each runs in a process of its own, and yields its figures as it goes."""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from benchmarks.kernel_parity import EXACT, Case, measure
from benchmarks.kernel_sizes import SIZES
from benchmarks.report import ROOT
from benchmarks.train_throughput import Job, OurUpdate, batch_of, nvidia_update
from trainer.data.batches import Batch
from trainer.model import recurrence
from trainer.model.kernels import choice
from trainer.model.kernels.settings import Card, card_of
from trainer.training_figures import RecentNorms
from trainer.updates import Updates

BOUND = 3.0  # in bf16: errors against float64, as a multiple of those of torch's operations, which round less
ATTENTION = {"split": None, "whole": 1}  # the batch from which it is whole
ROUNDING = 2**-8  # of one number in bf16
MODEL_BOUND = 1.2  # of a whole model's gradients
UPDATES = 7
NVIDIA_UPDATES = 2  # a second each, and alike
GRAPHED = ("tiny:16:96", "tiny:16:128", "tiny:16:160")
GRAPHED_UPDATES = 30
GRAPH_BOUND = 1e-3  # of a loss: the order in which a GPU sums is not always the same, and differences grow
Row = dict[str, Any]


def card_named(name: str, device: str) -> Card:
    """`whole` or `split`, and what is left out; `fused`: as training does it."""
    kind, _, without = name.partition(", ")
    card = choice.card(torch.device("cuda")) if device == "cuda" else card_of((9, 0))
    if kind in ATTENTION:
        card = replace(card, whole_from=ATTENTION[kind])
    if without in ("no tensor loads", "neither"):
        card = replace(card, tensor_memory=False)
    if without in ("no dependent launches", "neither") or device == "cpu":
        card = replace(card, dependent_launch=False)
    return card


def exact(options: argparse.Namespace, name: str, case: str) -> Iterator[Row]:
    """In float32, with the settings that float32 has."""
    yield from _parity("exact", name, [SIZES[options.device].exact[int(case)]], torch.float32, options, {})


def tiles(options: argparse.Namespace, name: str, case: str) -> Iterator[Row]:
    """In float32, with tensor loads, which are what bf16 uses."""
    kernels = (f"{kind} {kernel}" for kind in ("attention", "lstm") for kernel in ("forward", "product"))
    overrides = {kernel: {"TMA": 1} for kernel in kernels}
    yield from _parity("tiles", name, [SIZES[options.device].exact[int(case)]], torch.float32, options, overrides)


def lowered(options: argparse.Namespace, name: str) -> Iterator[Row]:
    """In bf16, with the settings that training uses."""
    yield from _parity("lowered", name, SIZES[options.device].lowered, torch.bfloat16, options, {})


def _parity(
    what: str,
    name: str,
    cases: Sequence[Case],
    dtype: torch.dtype,
    options: argparse.Namespace,
    overrides: Mapping[str, dict[str, int]],
) -> Iterator[Row]:
    torch.set_float32_matmul_precision("highest" if dtype == torch.float32 else "high")
    torch.set_num_threads(1)
    card = replace(card_named(name, options.device), overrides=overrides)
    for case in cases:
        try:
            rows = measure(case, options.device, dtype, card, name)
        except Exception as error:  # says what failed, and goes on with the rest
            yield _said({"what": what, "card": name, "case": str(case), "ok": False, "error": _short(error)})
            continue
        for row in rows:
            row["bound"] = EXACT if dtype == torch.float32 else max(2 * ROUNDING, BOUND * row["torch"])
        wrong = {
            f"{row['tape']}.{row['of']}": (row["fused"], row["torch"]) for row in rows if row["fused"] > row["bound"]
        }
        worst = {of: max(row[of] for row in rows) for of in ("fused", "torch")}
        yield _said({"what": what, "card": name, "case": rows[0]["case"], "ok": not wrong, **worst, "wrong": wrong})
        yield {"rows": rows}


def models(options: argparse.Namespace, name: str) -> Iterator[Row]:
    """A whole model's gradients, in bf16, against torch's in float32 with the same weights, data and dropout."""
    for case in SIZES[options.device].models:
        try:
            yield _said({"what": "model", "card": name, "case": case, **_model_errors(case, options.device, name)})
        except Exception as error:
            yield _said({"what": "model", "card": name, "case": case, "ok": False, "error": _short(error)})
        _release()


def _model_errors(case: str, device: str, name: str) -> Row:
    wanted_loss, wanted = _gradients("ours", case, device, name)
    torch_loss, by_torch = _gradients("ours bf16", case, device, name)
    fused_loss, fused = _gradients("fused bf16", case, device, name)

    def error(found: Mapping[str, torch.Tensor], names: Iterable[str]) -> float:
        names = list(names)
        differing = sum(((found[n] - wanted[n]) ** 2).sum() for n in names)
        return float((differing / sum((wanted[n] ** 2).sum() for n in names)) ** 0.5)

    ratios = {n: error(fused, [n]) / max(error(by_torch, [n]), 1e-9) for n in wanted}
    worst = max(ratios, key=lambda n: ratios[n])
    found = {"fused": error(fused, wanted), "torch": error(by_torch, wanted)}
    return {
        "ok": found["fused"] <= MODEL_BOUND * found["torch"],
        **found,
        "losses": (wanted_loss, torch_loss, fused_loss),
        "worst": (worst, ratios[worst], error(fused, [worst])),
        "above twice": {n: round(r, 2) for n, r in ratios.items() if r > 2},
    }


def _gradients(variant: str, case: str, device: str, name: str) -> tuple[float, dict[str, torch.Tensor]]:
    """Of the second pass, which replays a graph."""
    torch.manual_seed(0)
    update = OurUpdate(Job.of(variant, case, device), card_named(name, device))
    for _ in range(2):
        torch.manual_seed(1)
        loss = update.losses(update.forward())
        loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), {n: p.grad.double().clone() for n, p in update.model.named_parameters() if p.grad is not None}


def compile_all(options: argparse.Namespace, *cases: str) -> Iterator[Row]:
    """Two steps of what will be timed: whatever the length, these are its kernels."""
    begun = time.monotonic()
    for case, name in ((case, name) for case in cases for name in options.by or SIZES[options.device].cards):
        update = OurUpdate(Job.of("fused bf16", case, options.device), card_named(name, options.device))
        batch = update.batch
        mels, lengths = batch.mels[:, :2].contiguous(), batch.mel_lengths.clamp_max(2)
        update.batch = replace(batch, mels=mels, mel_lengths=lengths)
        update()
        del update
        _release()
        yield _said({"what": "compile", "case": case, "card": name, "seconds": time.monotonic() - begun})


def time_all(options: argparse.Namespace, *cases: str) -> Iterator[Row]:
    sizes = SIZES[options.device]
    for case in cases:
        for name in options.by or ("fused", *(["torch"] if case in sizes.beside_torch else [])):
            try:
                yield _said({"what": "time", "case": case, "by": name, **_timed(case, name, options.device)})
            except Exception as error:
                yield _said({"what": "time", "case": case, "by": name, "ok": False, "error": _short(error)})
            _release()


def time_nvidia(options: argparse.Namespace, *cases: str) -> Iterator[Row]:
    for case in cases:
        update = nvidia_update(Job.of("nvidia", case, options.device, checkout=str(options.nvidia)))
        seconds = _seconds(update, options.device, NVIDIA_UPDATES)
        yield _said({"what": "time", "case": case, "by": "nvidia", **_rate(case, seconds)})
        del update
        _release()


def _timed(case: str, name: str, device: str) -> Row:
    torch.manual_seed(0)
    variant = "ours bf16" if name == "torch" else "fused bf16"
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    update = OurUpdate(Job.of(variant, case, device), None if name == "torch" else card_named(name, device))
    begun = time.monotonic()
    update()
    update()  # captured
    _wait(device)
    figures = {"first two s": time.monotonic() - begun}
    seconds = _seconds(update, device, UPDATES)
    assert update.updates is not None
    figures |= {"graphs": update.updates.captured, "loss": _loss(update)}
    if device == "cuda":
        figures["peak MB"] = torch.cuda.max_memory_reserved() / 1e6
    return {**_rate(case, seconds), **figures}


def _loss(update: OurUpdate) -> float:
    with torch.no_grad():
        return update.losses(update.forward()).item()


def parts_of(options: argparse.Namespace, *cases: str) -> Iterator[Row]:
    """How long each pass of each loop takes, as a graph of its own."""
    for case in cases:
        torch.manual_seed(0)
        update = OurUpdate(Job.of("fused bf16", case, options.device), card_named("fused", options.device))
        if options.device == "cuda":
            update.model.use_graphs()
        with _spans(update.batch.mels.shape[1]) as spans:
            update.in_parts()
            update.in_parts()
            spans.clear()
            seconds = _seconds(update.in_parts, options.device, UPDATES)
        parts = {f"{part} ms": statistics.median(span() for span in found) for part, found in spans.items()}
        rest = statistics.median(seconds) * 1e3 - sum(parts.values())
        yield _said({"what": "parts", "case": case, **_rate(case, seconds), **parts, "rest ms": rest})
        del update
        _release()


def graph(options: argparse.Namespace) -> Iterator[Row]:
    """The same updates with and without a graph, in float32 and with all that a voice's training corrects."""
    replayed, captured = _losses(options.device, graphs=True)
    plain, _ = _losses(options.device, graphs=False)
    worst = max(abs(a - b) / abs(b) for a, b in zip(replayed, plain, strict=True))
    enough = captured == len(GRAPHED) or options.device == "cpu"
    row = {"updates": len(plain), "graphs": captured, "worst": worst, "last": (replayed[-1], plain[-1])}
    yield _said({"what": "graph", "ok": worst <= GRAPH_BOUND and enough, **row})


def _losses(device: str, *, graphs: bool) -> tuple[list[float], int]:
    """-> of each update, batches of three sizes in turn; and the number of captured sizes."""
    jobs = [Job.of("fused" if device == "cuda" else "ours", case, device) for case in GRAPHED]
    torch.manual_seed(0)
    update = OurUpdate(jobs[0], card_named("fused", device) if device == "cuda" else None)
    batches = [_ragged(batch_of(job)) for job in jobs]
    torch.manual_seed(1)
    norms = RecentNorms(update.device)
    updates = Updates(update.model, update.adam, update.config, norms, score_clips=True)
    if not graphs:
        updates._graphs = None
    found = []
    for turn in range(GRAPHED_UPDATES):
        outcome = updates(batches[turn % len(batches)], 1e-3 / (1 + turn), 1.0, limits=True)
        found.append(outcome.checks.tolist()[1])
    return found, updates.captured


def _ragged(batch: Batch) -> Batch:
    """With lengths from half of the longest on."""
    share = torch.linspace(0.5, 1, len(batch.token_lengths))
    tokens = (batch.token_lengths * share).long()
    frames = (batch.mel_lengths * share.to(batch.mel_lengths.device)).long()
    return replace(batch, token_lengths=tokens, mel_lengths=frames, frames=int(frames.sum()))


def _rate(case: str, seconds: Sequence[float]) -> Row:
    _, batch, frames = case.split(":")
    median = statistics.median(seconds)
    return {"frames/s": int(batch) * int(frames) / median, "update ms": median * 1e3}


def _seconds(update: Callable[[], None], device: str, count: int) -> list[float]:
    """Of `count` updates, after one that does not count."""
    update()
    found = []
    for _ in range(count):
        _wait(device)
        begun = time.perf_counter()
        update()
        _wait(device)
        found.append(time.perf_counter() - begun)
    return found


@contextmanager
def _spans(steps: int) -> Iterator[dict[str, list[Callable[[], float]]]]:
    """Milliseconds of each pass of each loop, by CUDA's events around its graph. steps: of the decoder."""
    spans: dict[str, list[Callable[[], float]]] = defaultdict(list)
    graphed = recurrence._Graphed
    replay, backward = graphed.replay, graphed.backward

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Any, *arguments: Any) -> Any:
            start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            start.record()
            found = function(self, *arguments)
            end.record()
            is_decoder = self.outputs[0].shape[0] == steps
            loop = "attention" if len(self.outputs) == 2 else "lstm" if is_decoder else "encoder"
            spans[f"{loop} {name}"].append(lambda: start.elapsed_time(end))
            return found

        return run

    graphed.replay = timed("forward", replay)  # type: ignore[method-assign]
    graphed.backward = timed("backward", backward)  # type: ignore[method-assign]
    try:
        yield spans
    finally:
        graphed.replay, graphed.backward = replay, backward  # type: ignore[method-assign]


def count(options: argparse.Namespace, case: str, *names: str) -> Iterator[Row]:
    for name in names:
        yield _counted(case, name, options.device)
        _release()


def _counted(case: str, name: str, device: str) -> Row:
    update = OurUpdate(Job.of("fused bf16", case, device), card_named(name, device))
    update()
    update()
    _wait(device)
    activity = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activity.CUDA if device == "cuda" else activity.CPU]) as profile:
        update()
        _wait(device)
    events = sorted(profile.key_averages(), key=lambda e: -e.self_device_time_total)
    launches = sum(e.count for e in events)
    print(f"launches of {case} {name}: {launches}", flush=True)
    for event in events[:20]:
        milliseconds, each = event.self_device_time_total / 1e3, event.self_device_time_total / max(1, event.count)
        print(f"  {milliseconds:8.2f} ms {event.count:6d} x {each:8.2f} us  {event.key[:90]}", flush=True)
    kernels = [(e.key, e.count, e.self_device_time_total) for e in events[:40]]
    return {"what": "launches", "case": case, "card": name, "launches": launches, "kernels": kernels}


def trial(options: argparse.Namespace, kernels: str, seed: str, graphs: str = "updates") -> Iterator[Row]:
    path = options.folder / f"trial-{kernels}-{seed}-{graphs}.out"
    command = [sys.executable, "-m", "benchmarks.short_trial", "--device", options.device, "--kernels", kernels]
    command += ["--seed", seed, "--graphs", graphs, *SIZES[options.device].trial, "--json", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(path.read_text())["training"]
    yield _said({"what": "trial", "asked": kernels, "seed": seed, "graphs": graphs, **found})


PROGRAMS: Mapping[str, Callable[..., Iterator[Row]]] = {
    "exact": exact,
    "tiles": tiles,
    "lowered": lowered,
    "models": models,
    "compile": compile_all,
    "time": time_all,
    "parts": parts_of,
    "graph": graph,
    "nvidia": time_nvidia,
    "count": count,
    "trial": trial,
}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:400]


def _said(row: Row) -> Row:
    print("; ".join(f"{name} {_shown(value)}" for name, value in row.items() if value not in ({}, None)), flush=True)
    return row


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return f"{{{', '.join(f'{k}: {_shown(v)}' for k, v in value.items())}}}" if isinstance(value, dict) else str(value)
