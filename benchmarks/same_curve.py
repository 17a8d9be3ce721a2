"""Whether the fast decoder learns the same as the plain one, update by update, with the same seed, data and dropout.

    python -m benchmarks.same_curve [--updates 1000] [--json FILE] [--picture FILE]
    python -m benchmarks.same_curve --device cuda [--preset full] [--precisions bf16 float32]

Trains the tiny preset on the embedded corpus with the trainer's own loop: with its decoder and with the plain one of
the tests, in float32 and in float64. Training amplifies rounding; a third run in float32 shows how much: the plain
decoder, with each weight moved by one unit in its last place before the first update. Takes about ten minutes on two
cores.

With `--device cuda` the fused kernels are compared with torch's operations, each with two seeds, and one seed with the
other. These runs train at the same time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.report import ROOT, table, write_results
from tests.support.plain_decoder import PlainDecoder
from trainer.checkpoint import TrainingState
from trainer.checkpoint_files import load
from trainer.config import TrainerConfig
from trainer.data.batches import Batch
from trainer.data.features import open_features
from trainer.dotted import merge
from trainer.loop import Training
from trainer.protocol import Event, EventKind, EventWriter, RunDir, all_events
from trainer.resuming import open_state
from trainer.summaries import Summaries

SETTINGS: dict[str, Any] = {
    "corpus": {"source": "demo:en"},
    "text": {"language": "en"},
    # Small, smooth steps. At lr 2e-3 and eps 1e-6 training is chaotic: one unit in the last place of each weight
    # becomes a tenth of the loss within 700 updates, whatever the decoder.
    "optimizer": {"lr": 2e-4, "eps": 1e-3, "gradient_clip": 100.0},
    "model": {"attention_dropout": 0.1, "decoder_dropout": 0.1},
    "guided_attention": {"weight": 20.0},
    "batch": {"size": 8},
    "budget": {"frames": 10**9, "reports": 1},  # `--updates` ends it
    "device": {"name": "cpu"},
    "logging": {
        "progress_every_updates": 1,
        "checkpoint_every_seconds": 86_400,
        "tensorboard": False,
        "pictures": False,
        "samples": False,
    },
}
# Steps as they are by default, so that 1,000 of them are enough to align.
FULL: dict[str, Any] = {
    "optimizer": {"lr": 1e-3, "eps": 1e-6, "gradient_clip": 1.0},
    "model": {"reduction": 4},
    "batch": {"size": 32},
}
FAST = "fast"
PLAIN = "plain"
MOVED = "plain, weights moved"
FUSED = "fused"
TORCH = "torch"
SEED = 7
SEEDS = (SEED, 8)  # on CUDA
PRECISIONS = ("bf16", "float32")  # on CUDA


@dataclass(frozen=True)
class Curve:
    """One run."""

    variant: str
    precision: str
    seed: int = SEED
    preset: str = "tiny"
    device: str = "cpu"

    def __str__(self) -> str:
        return ", ".join(part for part in (self.variant, self.precision, self._seed) if part)

    @property
    def _seed(self) -> str:
        return f"seed {self.seed}" if self.device == "cuda" else ""


Pair = tuple[Curve, Curve]
CPU_PAIRS: Sequence[Pair] = (
    (Curve(FAST, "float64"), Curve(PLAIN, "float64")),
    (Curve(FAST, "float32"), Curve(PLAIN, "float32")),
    (Curve(MOVED, "float32"), Curve(PLAIN, "float32")),
)
SHOWN = (1, 10, 30, 100, 200, 300, 500, 700, 1000)
SMOOTHED = 50  # updates

Losses = npt.NDArray[np.float64]  # of each update


def cuda_pairs(preset: str, precisions: Sequence[str]) -> list[Pair]:
    """Fused kernels with torch's operations for each seed, and one seed with the other."""
    pairs = []
    for precision in precisions:
        by_torch, fused = (
            [Curve(variant, precision, seed, preset, "cuda") for seed in SEEDS] for variant in (TORCH, FUSED)
        )
        pairs += [*zip(fused, by_torch, strict=True), (by_torch[1], by_torch[0])]
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--preset", choices=["tiny", "full"], default="tiny", help="on CUDA")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="on CUDA")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--picture", type=Path, help="draw the curves there")
    parser.add_argument("--one", nargs=2, metavar=("CURVE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        curve, folder = options.one
        train(Curve(**json.loads(curve)), Path(folder), options.updates)
        return
    pairs = CPU_PAIRS if options.device == "cpu" else cuda_pairs(options.preset, options.precisions)
    with tempfile.TemporaryDirectory() as name:
        wanted = sorted({curve for pair in pairs for curve in pair}, key=str)
        train_all(wanted, Path(name), options)
        runs = {curve: run_dir(curve, Path(name)) for curve in wanted}
        losses = {curve: losses_of(run) for curve, run in runs.items()}
        rows = [compare(a, b, runs, losses) for a, b in pairs]
        ends = [end_of(curve, runs[curve], losses[curve]) for curve in wanted]
    print(table(rows))
    print(table(ends))
    if options.json:
        curves = {str(curve): found.round(6).tolist() for curve, found in losses.items()}
        write_results(options.json, {"differences": rows, "ends": ends, "losses": curves}, vars(options))
    if options.picture:
        draw(pairs, losses, options.picture)


def train_all(curves: Sequence[Curve], folder: Path, options: argparse.Namespace) -> None:
    """Each in another process, since the precision is a global setting of torch; on CUDA all at once."""
    open_features(config_of(curves[0], folder))  # is prepared once
    at_once = len(curves) if options.device == "cuda" else 1
    command = [sys.executable, "-m", "benchmarks.same_curve", "--updates", str(options.updates), "--one"]
    for start in range(0, len(curves), at_once):
        started = [
            subprocess.Popen([*command, json.dumps(asdict(curve)), str(folder)], cwd=ROOT)
            for curve in curves[start : start + at_once]
        ]
        if any([process.wait() for process in started]):
            sys.exit("a run failed")


def run_dir(curve: Curve, folder: Path) -> RunDir:
    return RunDir(folder / str(curve))


def config_of(curve: Curve, folder: Path) -> TrainerConfig:
    own: dict[str, Any] = {
        "preset": curve.preset,
        "seed": curve.seed,
        "paths": {"run": str(run_dir(curve, folder).path), "cache": str(folder / "cache")},
    }
    if curve.device == "cuda":
        own["device"] = {"name": "cuda", "precision": curve.precision, "kernels": curve.variant, "threads": 1}
    settings = merge(SETTINGS, FULL) if curve.preset == "full" else SETTINGS
    return TrainerConfig.from_mapping(merge(settings, own))


def train(curve: Curve, folder: Path, updates: int) -> None:
    config = config_of(curve, folder)
    features = open_features(config)
    if curve.precision == "float64":
        torch.set_default_dtype(torch.float64)
    state = open_state(config, features)
    state.model.register_forward_pre_hook(in_default_precision)
    if curve.variant in (PLAIN, MOVED):
        state.model.decoder.__class__ = PlainDecoder
    if curve.variant == MOVED:
        with torch.no_grad():
            for parameter in state.model.parameters():
                parameter.copy_(torch.nextafter(parameter, torch.full_like(parameter, torch.inf)))
    Ending(state, updates).run()


def in_default_precision(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    tokens, token_lengths, mels, mel_lengths = inputs
    return tokens, token_lengths, mels.to(torch.get_default_dtype()), mel_lengths


class Ending(Training):
    """Ends after `updates` updates, with a validation."""

    def __init__(self, state: TrainingState, updates: int) -> None:
        super().__init__(state, EventWriter(state.run_dir.events), Summaries(None), lambda: None)
        self._last = updates

    def _batches(self) -> Iterator[Batch]:
        for batch in super()._batches():
            if self._state.progress.update == self._last:
                config = self._state.config
                spent = replace(config.budget, frames=self._state.progress.frames)
                self._state.config = replace(config, budget=spent)  # so that the report is the last one
                self._reports.report()
                self._save()
                return
            yield batch


def losses_of(run: RunDir) -> Losses:
    return np.array([event.data["loss"] for event in events(run, EventKind.PROGRESS)])


def end_of(curve: Curve, run: RunDir, losses: Losses) -> dict[str, Any]:
    data = events(run, EventKind.VALIDATION)[-1].data
    names = ("loss", "alignment", "diagonality", "gate_f1")
    figures: dict[str, Any] = {name: data[name] for name in names if name in data}
    last = {f"training loss, last {SMOOTHED}": float(losses[-SMOOTHED:].mean())}
    ran = {"kernels": events(run, EventKind.FINISHED)[-1].data["kernels"]}
    return {"decoder": curve.variant, "precision": curve.precision, "seed": curve.seed, **figures, **last, **ran}


def events(run: RunDir, kind: EventKind) -> Sequence[Event]:
    return [event for event in all_events(run.events) if event.kind is kind]


def compare(a: Curve, b: Curve, runs: Mapping[Curve, RunDir], losses: Mapping[Curve, Losses]) -> dict[str, Any]:
    """Relative differences of two runs: the loss of single updates and of means, the weights at the end."""
    first, second = losses[a], losses[b]
    apart = np.abs(first - second) / second
    seeds = {"seeds": f"{a.seed}, {b.seed}"} if a.device == "cuda" else {}
    row: dict[str, Any] = {"compared": f"{a.variant} with {b.variant}", "precision": a.precision, **seeds}
    row |= {f"update {n}": float(apart[n - 1]) for n in SHOWN if n <= len(apart)}
    means = [np.convolve(x, np.full(SMOOTHED, 1 / SMOOTHED), "valid") for x in (first, second)]
    row[f"largest, means of {SMOOTHED}"] = float((np.abs(means[0] - means[1]) / means[1]).max())
    weights = [weights_of(runs[curve]) for curve in (a, b)]
    row["weights at the end"] = float((weights[0] - weights[1]).norm() / weights[1].norm())
    return row


def weights_of(run: RunDir) -> torch.Tensor:
    model = load(run.last_checkpoint, torch.device("cpu"))["model"]
    return torch.cat([x.double().flatten() for x in model.values() if x.is_floating_point()])


def draw(pairs: Sequence[Pair], losses: Mapping[Curve, Losses], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    curves, differences = figure.subplots(1, 2)
    for curve, found in losses.items():
        curves.plot(found, label=str(curve), linewidth=0.6)
    for a, b in pairs:
        apart = np.abs(losses[a] - losses[b]) / losses[b]
        differences.semilogy(np.maximum(apart, 1e-17), label=f"{a} with {b}", linewidth=0.6)
    curves.set(title="training loss", xlabel="update", yscale="log")
    differences.set(title="relative difference of the loss", xlabel="update")
    for axes in (curves, differences):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
