"""How many mel frames per second a whole update trains: ours, the plain decoder of the tests, and NVIDIA's code.

    python -m benchmarks.train_throughput --nvidia CHECKOUT [--device cuda] [--cases tiny:16:180 full:16:400]

A case is size:batch:frames, r = 1. Each variant runs in its own process, the variants in turns, `--rounds` times; the
best median counts. An update is forward, loss, backward, clipping and Adam, on noise of equal lengths that is already
on the device. Without `--nvidia` that column is omitted. Needs only torch, numpy and pyyaml.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import nvidia
from benchmarks.report import ROOT, table, write_results
from tests.support.plain_decoder import PlainDecoder
from trainer.config import TrainerConfig
from trainer.data.batches import Batch
from trainer.losses import training_losses
from trainer.memory import keep_large_blocks
from trainer.model import Tacotron2
from trainer.model.kernels import choice
from trainer.model.kernels.settings import Card
from trainer.model.matrix_products import prefer_onednn
from trainer.model.tacotron2 import Tacotron2Output
from trainer.text import SYMBOLS
from trainer.updates import Updates

CASES = {
    "cpu": ("tiny:16:180", "tiny:64:400", "full:16:400"),
    "cuda": (
        *(f"tiny:{batch}:400" for batch in (16, 64, 128)),
        *(f"full:{batch}:{frames}" for batch in (16, 32, 64, 128) for frames in (400, 800)),
    ),
}
SECONDS = 6.0  # of updates that are measured, at least; and at least `LEAST` of them
LEAST = 3
SYMBOLS_PER_SECOND = 15
GUIDED_WEIGHT = 0.1


@dataclass(frozen=True)
class Job:
    """One variant of one case."""

    variant: str  # nvidia, plain, ours, ours bf16, fused, fused bf16
    size: str
    batch: int
    frames: int
    device: str
    threads: int = 0
    checkout: str = ""
    seconds: float = SECONDS  # of updates that are measured

    @staticmethod
    def of(
        variant: str, case: str, device: str, threads: int = 0, checkout: str = "", seconds: float = SECONDS
    ) -> "Job":
        """case: size:batch:frames."""
        size, batch, frames = case.split(":")
        return Job(variant, size, int(batch), int(frames), device, threads, checkout, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvidia", type=Path, help="a checkout of NVIDIA/tacotron2 to compare with")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cases", nargs="+", metavar="SIZE:BATCH:FRAMES", help="default: some for the device")
    parser.add_argument("--variants", nargs="+", default=["nvidia", "plain", "ours", "ours bf16"])
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: one per core")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of updates that are measured, at least")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(Job(**json.loads(options.one)))))
        return
    variants = [v for v in options.variants if v != "nvidia" or options.nvidia]
    rows = []
    checkout = str(options.nvidia.resolve()) if options.nvidia else ""
    for case in options.cases or CASES[options.device]:
        jobs = [Job.of(v, case, options.device, options.threads, checkout, options.seconds) for v in variants]
        found = [run(job) for _ in range(options.rounds) for job in jobs]
        best = {v: max((f for f in found if f["variant"] == v), key=lambda f: float(f["frames/s"])) for v in variants}
        reference = best[variants[0]]["frames/s"]
        rows += [{"case": case, **best[v], f"to {variants[0]}": best[v]["frames/s"] / reference} for v in variants]
        print(table(rows[-len(variants) :]), flush=True)
    if options.json:
        write_results(options.json, {"rows": rows}, vars(options))


def run(job: Job) -> dict[str, Any]:
    """In another process, with the trainer's setting for waiting threads."""
    command = [sys.executable, "-m", "benchmarks.train_throughput", "--one", json.dumps(asdict(job))]
    environment = {"GOMP_SPINCOUNT": "1000", **os.environ}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env=environment)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"variant": job.variant, **figures}


def measure(job: Job) -> dict[str, Any]:
    if job.threads:
        torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    update = nvidia_update(job) if job.variant == "nvidia" else OurUpdate(job)
    for _ in range(3):  # the second one is captured
        update()
    seconds: list[float] = []
    while len(seconds) < LEAST or sum(seconds) < job.seconds:
        begun = time.perf_counter()
        update()
        if job.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_reserved() if job.device == "cuda" else 0
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "frames/s": job.batch * job.frames / statistics.median(seconds),
        "ms/update": statistics.median(seconds) * 1e3,
        "updates": len(seconds),
        "peak MB": round((peak or kibibytes * 1024) / 1e6),
    }


class OurUpdate:
    """One update of the plain variant or of ours, each time it is called.

    card: settings of the fused kernels; None: those for this one.
    """

    def __init__(self, job: Job, card: Card | None = None) -> None:
        self.device = torch.device(job.device)
        self.lowered = job.variant.endswith("bf16")
        self.config = config_of(job, "bf16" if self.lowered else "float32")
        self.model = Tacotron2(self.config.model, len(SYMBOLS), self.config.audio.n_mels).to(self.device).train()
        self._set_up(job, card)
        c = self.config.optimizer
        fused = job.variant != "plain"
        weights = self.model.parameters()
        self.adam = torch.optim.Adam(weights, lr=c.lr, eps=c.eps, weight_decay=c.weight_decay, fused=fused)
        self.batch = batch_of(job)
        self.updates = None if job.variant == "plain" else Updates(self.model, self.adam, self.config)

    def _set_up(self, job: Job, card: Card | None) -> None:
        """As the trainer's loop sets up its model."""
        if job.variant.startswith("fused"):
            self.model.use_fused_kernels(card or choice.card(torch.device(job.device)))
        if job.variant == "plain":
            self.model.decoder.__class__ = PlainDecoder
        elif job.device == "cuda":
            torch.set_float32_matmul_precision("high" if self.lowered else "highest")
            torch.backends.cudnn.allow_tf32 = self.lowered
        else:
            keep_large_blocks()
            prefer_onednn()

    def __call__(self) -> None:
        if self.updates is None:
            self.in_parts()
        else:
            self.updates(self.batch, self.config.optimizer.lr, GUIDED_WEIGHT)

    def in_parts(self) -> None:
        """The same, without a graph of the whole."""
        self.losses(self.forward()).backward()  # type: ignore[no-untyped-call]
        self.step()

    def forward(self) -> Tacotron2Output:
        self.adam.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.lowered):
            batch = self.batch
            lengths = batch.token_lengths.to(self.device)
            output: Tacotron2Output = self.model(batch.tokens, lengths, batch.mels, batch.mel_lengths)
        return output

    def losses(self, output: Tacotron2Output) -> torch.Tensor:
        c, batch = self.config, self.batch
        lengths = batch.token_lengths.to(self.device)
        guided = c.guided_attention
        return training_losses(output, batch.mels, batch.mel_lengths, lengths, c.loss, guided, GUIDED_WEIGHT).total

    def step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimizer.gradient_clip)
        self.adam.step()


def nvidia_update(job: Job) -> Callable[[], None]:
    """As its train.py does it in float32."""
    config = config_of(job)
    device = torch.device(job.device)
    model = nvidia.load(Path(job.checkout)).Tacotron2(nvidia.hparams(config, len(SYMBOLS))).to(device).train()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-6)
    tokens, token_lengths, mels, mel_lengths = (x.to(device) for x in noise(job))
    mels = mels.transpose(1, 2).contiguous()
    gate = torch.zeros(job.batch, job.frames, device=device)
    gate[:, -1] = 1
    mse = torch.nn.MSELoss()
    entropy = torch.nn.BCEWithLogitsLoss()

    def update() -> None:
        model.zero_grad()
        before, after, stop, _ = model((tokens, token_lengths, mels, tokens.shape[1], mel_lengths))
        loss = mse(before, mels) + mse(after, mels) + entropy(stop.view(-1, 1), gate.view(-1, 1))
        loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()

    return update


def config_of(job: Job, precision: str = "float32") -> TrainerConfig:
    settings = {"preset": job.size, "model": {"reduction": 1}, "device": {"precision": precision}}
    return TrainerConfig.from_mapping(settings)


def batch_of(job: Job) -> Batch:
    """On the job's device."""
    tokens, token_lengths, mels, mel_lengths = noise(job)
    return Batch(tokens, token_lengths, mels, mel_lengths, (), job.batch * job.frames).to(job.device)


def noise(job: Job) -> tuple[torch.Tensor, ...]:
    """tokens (B, N), their lengths, mels (B, T, M), their lengths."""
    audio = config_of(job).audio
    count = round(job.frames * audio.hop_length / audio.sample_rate * SYMBOLS_PER_SECOND)
    tokens = torch.randint(1, len(SYMBOLS), (job.batch, count))
    mels = torch.randn(job.batch, job.frames, audio.n_mels) * 2 - 5
    return tokens, torch.full((job.batch,), count), mels, torch.full((job.batch,), job.frames)


if __name__ == "__main__":
    main()
