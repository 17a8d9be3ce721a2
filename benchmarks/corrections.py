"""What corrections bring: trainings that are broken on purpose, with and without them, and healthy ones.

    python -m benchmarks.corrections --out benchmarks/results/corrections.json

Each fault is trained with five seeds, with and without its correction. Ten healthy trainings show whether anything is
corrected where nothing is wrong. In five more some clips have a wrong text or recording, and the list of suspects is
compared with them. A small model on the embedded corpus; each run is a process with one thread, two at a time. Takes
about 15 minutes on two cores. `--seeds 1 --only plateau` tries a part. The end of a training is the mean of its last
four reports, since one report is noisy.
"""

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer import corrector, loop, updates
from trainer.checkpoint import TrainingState
from trainer.config import TrainerConfig
from trainer.data.features import Features, open_features
from trainer.dotted import merge
from trainer.losses import Losses, training_losses
from trainer.protocol import EventKind, RunDir, all_events
from trainer.resuming import open_state

SETTINGS: dict[str, Any] = {
    "preset": "tiny",
    "corpus": {"source": "demo:en:160", "validation_share": 0.05},
    "model": {"encoder_convolutions": 2, "postnet_dim": 64, "postnet_convolutions": 2, "reduction": 5},
    "optimizer": {"lr": 4e-3},
    "batch": {"size": 4},
    "guided_attention": {"weight": 10.0},
    "budget": {"frames": 150_000, "reports": 24},  # about 200 updates
    "validation": {"free_running_utterances": 0},
    "device": {"name": "cpu", "threads": 1},
    "logging": {"tensorboard": False, "pictures": False, "samples": False, "checkpoint_every_seconds": 3600},
}
SPOILED = 8  # clips of 152
END = 4  # reports, whose mean is the end of a training
STRUCK = 100  # the update at which most faults happen: attention is there, half of the budget is left


def _shake_attention(state: TrainingState) -> None:
    """Replace the weights of the attention by noise, as one bad batch at a high learning rate does."""
    torch.manual_seed(state.config.seed)
    with torch.no_grad():
        for parameter in state.model.decoder.attention.parameters():
            parameter.normal_(0, 0.5)


@dataclass(frozen=True)
class Fault:
    """factors: of the loss, by update; each strikes once. strike: changes the state before update `STRUCK`."""

    figure: str  # of `Result`, that should be better with the correction
    settings: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[int, float] = field(default_factory=dict)
    strike: Callable[[TrainingState], None] | None = None


FAULTS: Mapping[str, Fault] = {
    "not_finite": Fault("alignment", factors=dict.fromkeys([20, *range(STRUCK, STRUCK + 5)], float("nan"))),
    "gradient": Fault("loss", {"optimizer": {"gradient_clip": 1e6}}, dict.fromkeys([STRUCK, STRUCK + 20], 1e6)),
    "alignment_late": Fault("alignment", {"guided_attention": {"enabled": False, "weight": 0.1}}),
    "alignment_lost": Fault("alignment", {"guided_attention": {"half_life_frames": 15_000}}, strike=_shake_attention),
    "plateau": Fault("loss", {"optimizer": {"lr": 1.6e-2}, "budget": {"reports": 48}}),
}


@dataclass(frozen=True)
class Job:
    """fault: one of `FAULTS`, "" for a healthy training, "suspects" for one with spoiled clips."""

    fault: str
    seed: int
    corrected: bool
    folder: str


@dataclass(frozen=True)
class Result:
    fault: str
    seed: int
    corrected: bool
    alignment: float  # at the end
    loss: float
    alignments: tuple[float, ...]  # of all reports, so that rules can be compared without training
    losses: tuple[float, ...]
    corrections: tuple[str, ...]  # what was told, in order
    spoiled: tuple[str, ...]  # ids
    listed: tuple[str, ...]
    seconds: float  # of a processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=[*FAULTS, "healthy", "suspects"], help="this part only")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write all results there, as JSON")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        open_features(_config(Job("", 1, False, folder)))  # once, before the processes need it
        jobs = _jobs(options.seeds, options.only, folder)
        with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(_run, jobs))
    _show(results)
    print(f"{len(results)} trainings in {(time.monotonic() - started) / 60:.1f} minutes")
    if options.out:
        found = {"settings": SETTINGS, "results": [asdict(result) for result in results]}
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _jobs(seeds: int, only: str | None, folder: str) -> list[Job]:
    faults = [Job(fault, seed, on, folder) for fault in FAULTS for seed in range(1, seeds + 1) for on in (False, True)]
    healthy = [Job("", seed, True, folder) for seed in range(1, 2 * seeds + 1)]
    suspects = [Job("suspects", seed, True, folder) for seed in range(1, seeds + 1)]
    return [job for job in (*faults, *healthy, *suspects) if only in (None, job.fault or "healthy")]


def _config(job: Job) -> TrainerConfig:
    fault = FAULTS.get(job.fault, Fault(""))
    name = f"{job.fault or 'healthy'}-{job.seed}-{job.corrected}"
    own = {
        "seed": job.seed,
        "corrections": {"kind": "all" if job.corrected else "safety"},
        "paths": {"run": f"{job.folder}/{name}", "cache": f"{job.folder}/cache"},
    }
    return TrainerConfig.from_mapping(merge(merge(SETTINGS, fault.settings), own))


def _run(job: Job) -> Result:
    """In a process of its own, since faults replace functions of the trainer."""
    config = _config(job)
    features = open_features(config)
    spoiled: list[int] = []
    if job.fault == "suspects":
        features, spoiled = _spoil(features, job.seed)
    state = open_state(config, features)
    fault = FAULTS.get(job.fault, Fault(""))
    began = time.process_time()
    _break(state, fault, protected=job.corrected or job.fault != "not_finite")
    loop.train_on(state, _striking(state, fault))
    events = all_events(state.run_dir.events)
    reports = [event.data for event in events if event.kind is EventKind.VALIDATION]
    alignments, losses = (tuple(round(report[name], 4) for report in reports) for name in ("alignment", "loss"))
    told = [event.data for event in events if event.kind is EventKind.CORRECTION]
    return Result(
        job.fault,
        job.seed,
        job.corrected,
        statistics.fmean(alignments[-END:]),
        statistics.fmean(losses[-END:]),
        alignments,
        losses,
        tuple(f"{data['what']}: {data['reason']}" for data in told),
        tuple(features.id(clip) for clip in spoiled),
        _listed(state.run_dir),
        time.process_time() - began,
    )


def _break(state: TrainingState, fault: Fault, *, protected: bool) -> None:
    """protected: without that, updates that are not finite change the weights."""
    left = dict(fault.factors)

    def losses(*arguments: Any) -> Losses:
        good = training_losses(*arguments)
        return replace(good, total=good.total * left.pop(state.progress.update + 1, 1.0))

    updates.training_losses = losses  # type: ignore[attr-defined, assignment]
    if protected:
        return
    step = state.optimizer.step

    def step_anyway() -> None:
        del state.optimizer.found_inf  # type: ignore[attr-defined]
        step()

    state.optimizer.step = step_anyway  # type: ignore[method-assign, assignment]
    corrector.Corrector.updated = lambda *_: True  # type: ignore[method-assign]


def _striking(state: TrainingState, fault: Fault) -> Callable[[], str | None]:
    """Called before each update, in place of the question whether to stop."""
    strikes = [fault.strike] if fault.strike else []

    def strike() -> None:
        if strikes and state.progress.update == STRUCK:
            strikes.pop()(state)

    return strike


def _spoil(features: Features, seed: int) -> tuple[Features, list[int]]:
    """Half of the clips get the text of a sentence of another length, half a recording that stops in the middle."""
    rng = np.random.default_rng(seed)
    order = sorted(features.train, key=lambda clip: len(features.tokens(clip)))
    texts = [*rng.choice(order[: len(order) // 4], SPOILED // 4, replace=False).tolist()]
    texts += rng.choice(order[-len(order) // 4 :], SPOILED // 4, replace=False).tolist()
    cut = rng.choice(sorted(set(order) - set(texts)), SPOILED // 2, replace=False).tolist()
    tokens = [features.tokens(clip) for clip in range(len(features))]
    for clip, other in zip(texts, reversed(texts), strict=True):
        tokens[clip] = features.tokens(other)
    mels = features.mels.copy()
    for clip in cut:
        start, end = features.offsets[clip : clip + 2]
        mels[(start + end) // 2 : end] = mels.min()
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in tokens])])
    joined = np.concatenate(tokens).astype(np.uint8)
    return replace(features, mels=mels, _tokens=joined, _token_offsets=offsets), sorted([*texts, *cut])


def _listed(run: RunDir) -> tuple[str, ...]:
    if not run.suspects.exists():
        return ()
    with run.suspects.open(newline="", encoding="utf-8") as file:
        return tuple(row["id"] for row in csv.DictReader(file))


def _show(results: Sequence[Result]) -> None:
    for name, fault in FAULTS.items():
        ours = [result for result in results if result.fault == name]
        if ours:
            print(f"{name}: {fault.figure} at the end")
        for on in (False, True):
            figures = [getattr(result, fault.figure) for result in ours if result.corrected is on]
            if figures:
                listed = "  ".join(f"{figure:.2f}" for figure in figures)
                print(f"  {'with' if on else 'without':8} median {statistics.median(figures):.2f}   {listed}")
        for result in ours[:2]:
            print("".join(f"    {line}\n" for line in result.corrections), end="")
    healthy = [result for result in results if not result.fault]
    if healthy:
        touched = [result for result in healthy if result.corrections]
        alignments = "  ".join(f"{result.alignment:.2f}" for result in healthy)
        print(f"healthy: {len(touched)} of {len(healthy)} corrected; alignment {alignments}")
    for result in results:
        if result.fault == "suspects":
            found = set(result.listed) & set(result.spoiled)
            wrong = len(result.listed) - len(found)
            print(f"suspects: {len(found)} of {len(result.spoiled)} spoiled clips listed, and {wrong} others")


if __name__ == "__main__":
    main()
