"""Whether the fast decoder learns the same as the plain one, update by update, with the same seed, data and dropout.

    python -m benchmarks.same_curve [--updates 1000] [--json FILE] [--picture FILE]

Trains the tiny preset on the embedded corpus with the trainer's own loop: with its decoder and with the plain one of
the tests, in float32 and in float64. Training amplifies rounding; a third run in float32 shows how much: the plain
decoder, with each weight moved by one unit in its last place before the first update. Takes about ten minutes on two
cores.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.report import ROOT, table, write_results
from tests.support.plain_decoder import PlainDecoder
from trainer.checkpoint import TrainingState
from trainer.checkpoint_files import load
from trainer.config import TrainerConfig, merge
from trainer.data.batches import Batch
from trainer.data.features import open_features
from trainer.loop import Training
from trainer.protocol import Event, EventKind, EventWriter, RunDir, all_events
from trainer.resuming import open_state
from trainer.summaries import Summaries

SETTINGS: dict[str, Any] = {
    "preset": "tiny",
    "seed": 7,
    "corpus": {"source": "demo:en"},
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
FAST = "fast"
PLAIN = "plain"
MOVED = "plain, weights moved"
PAIRS = (  # compared runs, and their precision
    (FAST, PLAIN, "float64"),
    (FAST, PLAIN, "float32"),
    (MOVED, PLAIN, "float32"),
)
SHOWN = (1, 10, 30, 100, 200, 300, 500, 700, 1000)
SMOOTHED = 50  # updates

Losses = npt.NDArray[np.float64]  # of each update


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--picture", type=Path, help="draw the curves there")
    parser.add_argument("--one", nargs=3, metavar=("VARIANT", "PRECISION", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        variant, precision, folder = options.one
        train(variant, precision, Path(folder), options.updates)
        return
    with tempfile.TemporaryDirectory() as name:
        wanted = sorted({(variant, precision) for *both, precision in PAIRS for variant in both})
        runs = {key: run(*key, Path(name), options.updates) for key in wanted}
        losses = {key: losses_of(run) for key, run in runs.items()}
        rows = [compare(a, b, precision, runs, losses) for a, b, precision in PAIRS]
        ends = [{"decoder": v, "precision": p, **last_validation(run)} for (v, p), run in runs.items()]
    print(table(rows))
    print(table(ends))
    if options.json:
        curves = {f"{v}, {p}": found.round(6).tolist() for (v, p), found in losses.items()}
        write_results(options.json, {"differences": rows, "ends": ends, "losses": curves}, vars(options))
    if options.picture:
        draw(losses, options.picture)


def run(variant: str, precision: str, folder: Path, updates: int) -> RunDir:
    """In another process, since the precision is a global setting of torch."""
    command = [sys.executable, "-m", "benchmarks.same_curve", "--updates", str(updates), "--one", variant, precision]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True)
    return run_dir(variant, precision, folder)


def run_dir(variant: str, precision: str, folder: Path) -> RunDir:
    return RunDir(folder / f"{variant}, {precision}")


def train(variant: str, precision: str, folder: Path, updates: int) -> None:
    paths = {"run": str(run_dir(variant, precision, folder).path), "cache": str(folder / "cache")}
    config = TrainerConfig.from_mapping(merge(SETTINGS, {"paths": paths}))
    features = open_features(config)
    torch.set_default_dtype({"float32": torch.float32, "float64": torch.float64}[precision])
    state = open_state(config, features)
    state.model.register_forward_pre_hook(in_default_precision)
    if variant != FAST:
        state.model.decoder.__class__ = PlainDecoder
    if variant == MOVED:
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
                self._reports.report()
                self._save()
                return
            yield batch


def losses_of(run: RunDir) -> Losses:
    return np.array([event.data["loss"] for event in events(run, EventKind.PROGRESS)])


def last_validation(run: RunDir) -> dict[str, float]:
    data = events(run, EventKind.VALIDATION)[-1].data
    return {name: data[name] for name in ("loss", "alignment", "diagonality", "gate_f1") if name in data}


def events(run: RunDir, kind: EventKind) -> Sequence[Event]:
    return [event for event in all_events(run.events) if event.kind is kind]


def compare(
    a: str,
    b: str,
    precision: str,
    runs: Mapping[tuple[str, str], RunDir],
    losses: Mapping[tuple[str, str], Losses],
) -> dict[str, Any]:
    """Relative differences of two runs: the loss of single updates and of means, the weights at the end."""
    first, second = losses[a, precision], losses[b, precision]
    apart = np.abs(first - second) / second
    row: dict[str, Any] = {"compared": f"{a} with {b}", "precision": precision}
    row |= {f"update {n}": float(apart[n - 1]) for n in SHOWN if n <= len(apart)}
    means = [np.convolve(x, np.full(SMOOTHED, 1 / SMOOTHED), "valid") for x in (first, second)]
    row[f"largest, means of {SMOOTHED}"] = float((np.abs(means[0] - means[1]) / means[1]).max())
    weights = [weights_of(runs[variant, precision]) for variant in (a, b)]
    row["weights at the end"] = float((weights[0] - weights[1]).norm() / weights[1].norm())
    return row


def weights_of(run: RunDir) -> torch.Tensor:
    model = load(run.last_checkpoint, torch.device("cpu"))["model"]
    return torch.cat([x.double().flatten() for x in model.values() if x.is_floating_point()])


def draw(losses: Mapping[tuple[str, str], Losses], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    curves, differences = figure.subplots(1, 2)
    for (variant, precision), found in losses.items():
        curves.plot(found, label=f"{variant}, {precision}", linewidth=0.6)
    for a, b, precision in PAIRS:
        apart = np.abs(losses[a, precision] - losses[b, precision]) / losses[b, precision]
        differences.semilogy(np.maximum(apart, 1e-17), label=f"{a} with {b}, {precision}", linewidth=0.6)
    curves.set(title="training loss", xlabel="update", yscale="log")
    differences.set(title="relative difference of the loss", xlabel="update")
    for axes in (curves, differences):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
