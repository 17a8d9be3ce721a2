"""How far the decoder with CUDA graphs is from the plain decoder: outputs and gradients, in float64.

    python -m benchmarks.graph_parity [--device cuda] [--json FILE]

Both decoders have the same weights and get the same dropout. Sizes alternate, so that graphs are captured, replayed
with other numbers, and share their memory. On a CPU, which has no graphs, the same steps run over the same buffers.
Needs only torch, numpy and PyYAML.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.report import table, write_results
from tests.support.plain_decoder import PlainDecoder
from trainer.config import TrainerConfig
from trainer.model.decoder import Decoder
from trainer.model.layers import length_mask
from trainer.model.recurrence import Graphs

N_MELS = 80
SIZES = [(20, 3, 14), (33, 2, 9), (20, 3, 14), (5, 3, 7), (33, 2, 9)]  # steps, batch, tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--preset", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    torch.set_num_threads(1)  # small products; more threads only wait for each other
    rows = measure(options.preset, torch.device(options.device))
    print(table(rows))
    if options.json:
        write_results(options.json, {"rows": rows}, vars(options))


def measure(preset: str, device: torch.device) -> list[dict[str, Any]]:
    config = TrainerConfig.from_mapping({"preset": preset, "model": {"attention_dropout": 0.1, "decoder_dropout": 0.1}})
    torch.manual_seed(1)
    graphed = Decoder(config.model, N_MELS).to(device).double().train()
    plain = PlainDecoder(config.model, N_MELS).to(device).double().train()
    plain.load_state_dict(graphed.state_dict())
    use_graphs(graphed, device)
    rows = []
    for turn, size in enumerate(SIZES):
        a, b = (passed(decoder, size, turn, device) for decoder in (graphed, plain))
        rows.append(
            {
                "steps x batch x tokens": "x".join(map(str, size)),
                "outputs": largest(a[:3], b[:3]),
                "gradients": largest(a[3:], b[3:]),
                "graphs kept": kept(graphed),
            }
        )
    return rows


def use_graphs(decoder: Decoder, device: torch.device) -> None:
    decoder.use_graphs()
    if device.type == "cpu":
        for runner in (decoder.attention.runner, decoder.lstm_runner):
            assert runner.graphs is not None
            runner.graphs[torch.float64] = Graphs(partial(runner.run, torch.float64), run_again)


def run_again(function: Callable[[], None]) -> Callable[[], None]:
    return function


def kept(decoder: Decoder) -> int:
    """The number of captured sizes, of both recurrences."""
    runners = (decoder.attention.runner, decoder.lstm_runner)
    return sum(graphs.captured for runner in runners for graphs in (runner.graphs or {}).values())


def passed(decoder: Decoder, size: tuple[int, int, int], seed: int, device: torch.device) -> list[Tensor]:
    """Three outputs, then the gradients of the memory and of all weights."""
    steps, batch, tokens = size
    generator = torch.Generator().manual_seed(seed)
    width = decoder.mel.in_features - decoder.lstm.hidden_size

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(device)

    memory = draw(batch, tokens, width).requires_grad_()
    mels = draw(batch, steps * decoder.reduction, N_MELS)
    torch.manual_seed(seed)
    masks = decoder.draw_masks(steps, mels.transpose(0, 1))
    mask = length_mask(torch.arange(batch, device=device) + tokens - batch + 1, tokens)
    frames = torch.full((batch,), steps * decoder.reduction, device=device)
    out = decoder(memory, mask, mels, frames, masks)
    loss = out.mel.square().sum() + out.gate_logits.square().sum() + out.attention.square().sum()
    gradients = torch.autograd.grad(loss, [memory, *decoder.parameters()])
    # Copied, since the next pass overwrites the buffers of the graphs.
    return [x.detach().clone() for x in (out.mel, out.gate_logits, out.attention, *gradients)]


def largest(a: list[Tensor], b: list[Tensor]) -> float:
    """The largest difference, relative to the largest number of its tensor."""
    return max(((x - y).abs().max() / y.abs().max().clamp_min(1e-30)).item() for x, y in zip(a, b, strict=True))


if __name__ == "__main__":
    main()
