"""Whether an imported checkpoint of NVIDIA/tacotron2 is the same model: runs its code and ours on the same batch.

    git clone https://github.com/NVIDIA/tacotron2 /tmp/nvidia
    python -m benchmarks.nvidia_parity --nvidia /tmp/nvidia --size full

Random weights are saved as by NVIDIA's `train.py`, also in half precision and as after training on several devices, and
imported with `python -m trainer import`. Both models run with all dropouts off on the same batch. Then the voice is
exported again and compared bit for bit. Exit code 1 if outputs differ by more than 1e-4 or gradients by more than 1e-3,
relative to the largest number of the tensor.

The batch has no padding, since only then can both be equal: NVIDIA's encoder and postnet convolve over padding, ours
mask it. The effect is printed for a batch of two lengths, without a limit. With several frames per step NVIDIA's code
can speak but not train, so only speech is compared there. Takes a minute on two cores.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import nvidia
from trainer import voice_format
from trainer.config import TrainerConfig
from trainer.model import Tacotron2
from trainer.nvidia.checkpoint import nvidia_name
from trainer.nvidia.symbols import TABLE
from trainer.text import SYMBOLS, encode

OUTPUTS = ("mel before postnet", "mel", "gate", "attention")
OUTPUT_LIMIT = 1e-4  # relative, as the next one
GRADIENT_LIMIT = 1e-3
TEXTS = ("the quick brown fox (it's brown)", "jumps over the lazy dog; never?!")  # equally long
GROUPS = {
    "embedding": "embedding",
    "encoder": "encoder",
    "decoder.prenet": "prenet",
    "decoder.attention_rnn": "attention LSTM",
    "decoder.attention_layer": "attention",
    "decoder.decoder_rnn": "decoder LSTM",
    "decoder.linear_projection": "projections",
    "decoder.gate_layer": "projections",
    "postnet": "postnet",
}
DROPOUTS = {name: value for name, value in vars(TrainerConfig().model).items() if name.endswith("_dropout")}
SHARED = [(SYMBOLS.index(symbol), TABLE.index(symbol)) for symbol in SYMBOLS if symbol in TABLE]  # padding among them


@dataclass(frozen=True)
class Variant:
    name: str
    half: bool = False
    prefix: str = ""
    reduction: int = 1


VARIANTS = (
    Variant("float32"),
    Variant("float16", half=True),
    Variant("module.", prefix="module."),
    Variant("two frames", reduction=2),
)


@dataclass(frozen=True)
class Row:
    what: str
    absolute: float
    relative: float
    limit: float  # nan: none
    worst: str = ""

    @property
    def bad(self) -> bool:
        return self.relative > self.limit or self.relative != self.relative


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvidia", type=Path, required=True, help="a checkout of NVIDIA/tacotron2")
    parser.add_argument("--size", choices=["full", "tiny"], default="full")
    options = parser.parse_args()
    module = nvidia.load(options.nvidia)
    failed = nvidia.symbols(options.nvidia) != list(TABLE)
    print(f"torch {torch.__version__}, size {options.size}; symbol table: {'DIFFERS' if failed else 'the same'}")
    for variant in VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            rows, differing = check(module, options.size, variant, Path(folder))
        print(f"\n{variant.name:<46} {'absolute':>9} {'relative':>9}")
        for row in rows:
            print(f"  {row.what:<44} {row.absolute:9.1e} {row.relative:9.1e} {'BAD' if row.bad else ''} {row.worst}")
        print(f"  exported again, bit for bit: {', '.join(differing) or 'the same'}")
        failed |= any(row.bad for row in rows) or bool(differing)
    print("\nFAILED" if failed else "\nall within limits")
    return int(failed)


def check(module: ModuleType, size: str, variant: Variant, folder: Path) -> tuple[list[Row], list[str]]:
    """Figures, and the names of the tensors that the export changed."""
    torch.manual_seed(1)
    config = sized(size, variant.reduction)
    theirs = module.Tacotron2(nvidia.hparams(config, len(TABLE)))
    state = save(theirs, variant, folder / "nvidia.pt")
    theirs.load_state_dict(state)  # as in the file: rounded, in half precision
    run("import", folder / "nvidia.pt", folder / "voice.pt")
    imported = voice_format.load(folder / "voice.pt")
    assert imported.config.model == replace(config.model, **DROPOUTS), "the sizes must be recognised"
    silent = replace(imported.config.model, prenet_dropout=0.0)
    ours = Tacotron2(silent, len(SYMBOLS), config.audio.n_mels)
    ours.load_state_dict(imported.weights)
    for model in (theirs, ours):
        model.eval()
    rows = [compare_speaking(module, theirs, ours)]
    if variant.reduction == 1:
        mels = torch.randn(2, 60, config.audio.n_mels) * 2 - 5
        rows = [*compare(module, theirs, ours, mels), *rows, *padded(module, theirs, ours, mels)]
    run("export", folder / "voice.pt", folder / "again.pt")
    return rows, changed(state, torch.load(folder / "again.pt", weights_only=True)["state_dict"])


def sized(size: str, reduction: int) -> TrainerConfig:
    raw: dict[str, Any] = {"preset": size, "model": {"reduction": reduction}}
    if size == "tiny":
        raw["audio"] = {"n_mels": 40}
        raw["model"] |= {"encoder_kernel": 3, "postnet_kernel": 7, "location_kernel": 15, "postnet_convolutions": 4}
    return TrainerConfig.from_mapping(raw)


def save(model: nn.Module, variant: Variant, path: Path) -> dict[str, Tensor]:
    """Save as its train.py does, after one step of the optimiser -> the state dict that float32 code would load."""
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(buffer, std=0.1)
        elif name.endswith("running_var"):
            nn.init.uniform_(buffer, 0.5, 2.0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-6)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    state = {key: value.half() if variant.half and value.is_floating_point() else value.clone()
             for key, value in model.state_dict().items()}  # fmt: skip
    content = {
        "iteration": 1,
        "state_dict": {variant.prefix + key: value for key, value in state.items()},
        "optimizer": optimizer.state_dict(),
        "learning_rate": 1e-3,
    }
    torch.save(content, path)
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def run(command: str, source: Path, target: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "trainer", command, str(source), "--to", str(target)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def compare(module: ModuleType, theirs: nn.Module, ours: Tacotron2, mels: Tensor) -> list[Row]:
    """Outputs, and gradients of the sum of all outputs in a fixed random weighting."""
    lengths = torch.full((len(TEXTS),), len(TEXTS[0])), torch.full((len(TEXTS),), mels.shape[1])
    for model in (theirs, ours):
        model.zero_grad(set_to_none=True)
    b = forward_theirs(module, theirs, *lengths, mels)
    a = forward_ours(ours, *lengths, mels)
    weighting = [torch.randn_like(output) for output in b]
    for outputs in (a, b):
        total = torch.stack([(w * output).sum() for w, output in zip(weighting, outputs, strict=True)]).sum()
        total.backward()  # type: ignore[no-untyped-call]
    rows = [row(name, x, y, OUTPUT_LIMIT) for name, x, y in zip(OUTPUTS, a, b, strict=True)]
    return rows + gradients(theirs, ours)


def gradients(theirs: nn.Module, ours: Tacotron2) -> list[Row]:
    """The worst parameter of each group."""
    named = dict(theirs.named_parameters())
    worst: dict[str, Row] = {}
    for key, parameter in ours.named_parameters():
        name = nvidia_name(key)
        a, b = parameter.grad, named[name].grad
        assert a is not None, key
        assert b is not None, name
        if name == "embedding.weight":
            a, b = a[[i for i, _ in SHARED]], b[[j for _, j in SHARED]]
        group = next(words for prefix, words in GROUPS.items() if name.startswith(prefix))
        found = row(f"gradient: {group}", a, b, GRADIENT_LIMIT, name)
        if group not in worst or not found.relative <= worst[group].relative:
            worst[group] = found
    assert {nvidia_name(key) for key, _ in ours.named_parameters()} == set(named)
    return list(worst.values())


@torch.no_grad()
def compare_speaking(module: ModuleType, theirs: Any, ours: Tacotron2) -> Row:
    """Free-running, one utterance, up to a step limit; the gate is ignored."""
    steps = 20
    theirs.decoder.gate_threshold = 2.0
    theirs.decoder.max_decoder_steps = steps
    with without_dropout(module), redirect_stdout(io.StringIO()):  # it warns of the limit
        b = theirs.inference(torch.tensor([their_ids(TEXTS[0])]))[1].transpose(1, 2)
    tokens = torch.tensor([encode(TEXTS[0])])
    limit = torch.tensor([steps * ours.reduction])
    a = ours.infer(tokens, torch.tensor([tokens.shape[1]]), limit, gate_threshold=2.0).mel
    return row("mel, speaking without a teacher", a, b, OUTPUT_LIMIT)


@torch.no_grad()
def padded(module: ModuleType, theirs: nn.Module, ours: Tacotron2, mels: Tensor) -> list[Row]:
    """The longer utterance has no padding and must agree; for the shorter one, padding enters their encoder."""
    longest = len(TEXTS[0])
    frames = mels.shape[1]
    lengths = torch.tensor([longest, longest - 9]), torch.tensor([frames, frames - 15])
    a = forward_ours(ours, *lengths, mels)[1]
    b = forward_theirs(module, theirs, *lengths, mels)[1]
    reach = sum(int(layer.padding[0]) for layer in ours.postnet.modules() if isinstance(layer, nn.Conv1d))
    inside = slice(0, frames - 15 - reach)
    return [
        row("mel, longer one of two lengths", a[0], b[0], OUTPUT_LIMIT),
        row("mel, shorter one before the postnet's reach", a[1, inside], b[1, inside], float("nan")),
    ]


def forward_ours(model: Tacotron2, tokens: Tensor, frames: Tensor, mels: Tensor) -> list[Tensor]:
    ids = torch.tensor([encode(text) for text in TEXTS])
    out = model(ids, tokens, mels, frames)
    return [out.mel_before, out.mel, out.gate_logits, out.attention]


def forward_theirs(module: ModuleType, model: nn.Module, tokens: Tensor, frames: Tensor, mels: Tensor) -> list[Tensor]:
    """In our shapes: (B, L, M), (B, L, M), (B, T), (B, T, N)."""
    ids = torch.tensor([their_ids(text) for text in TEXTS])
    with without_dropout(module):
        before, mel, gate, attention = model((ids, tokens, mels.transpose(1, 2), int(tokens.max()), frames))
    return [before.transpose(1, 2), mel.transpose(1, 2), gate, attention]


def their_ids(text: str) -> list[int]:
    return [TABLE.index(character) for character in text]


@contextmanager
def without_dropout(module: Any) -> Iterator[None]:
    """Its prenet's dropout has no switch."""
    silent = ModuleType("functional")
    vars(silent).update(vars(F))
    silent.dropout = lambda x, *_, **__: x  # type: ignore[attr-defined]
    module.F = silent
    try:
        yield
    finally:
        module.F = F


def row(what: str, a: Tensor, b: Tensor, limit: float, worst: str = "") -> Row:
    assert a.shape == b.shape, (what, a.shape, b.shape)
    a, b = a.detach(), b.detach()
    difference = float((a - b).abs().max())
    return Row(what, difference, difference / float(b.abs().max()), limit, worst)


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Names of tensors that are not bit-equal; of the embedding, only rows of symbols in both tables count."""
    rows = [j for _, j in SHARED]
    return [
        key
        for key in sorted(before.keys() | after.keys())
        if key not in before
        or key not in after
        or not (
            torch.equal(before[key][rows], after[key][rows])
            if key == "embedding.weight"
            else torch.equal(before[key], after[key])
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
