"""Replaying a captured recurrence equals running it, for each size."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainer.config import TrainerConfig
from trainer.model.decoder import Decoder
from trainer.model.layers import length_mask
from trainer.model.recurrence import Graphs, Runner

WIDTHS = {
    "encoder_dim": 12,
    "prenet_dim": 6,
    "attention_rnn_dim": 14,
    "attention_dim": 8,
    "location_filters": 4,
    "location_kernel": 5,
    "decoder_rnn_dim": 10,
    "attention_dropout": 0.2,
    "decoder_dropout": 0.2,
}
SIZES = [(9, 3, 7), (20, 3, 11), (9, 3, 7), (5, 2, 3), (20, 3, 11)]  # steps, batch, tokens


def run_again(function: Callable[[], None]) -> Callable[[], None]:
    """A capture without CUDA: the function itself, on the same buffers."""
    return function


def decoder(device: str = "cpu") -> Decoder:
    torch.manual_seed(1)
    return Decoder(TrainerConfig.from_mapping({"model": WIDTHS}).model, 5).to(device).double().train()


def passes(module: Decoder, attention: bool = True) -> list[list[Tensor]]:
    """Outputs and gradients for each of `SIZES`."""
    results = []
    for steps, batch, tokens in SIZES:
        torch.manual_seed(steps)
        device = module.mel.weight.device
        memory = torch.randn(batch, tokens, 12, dtype=torch.float64).to(device).requires_grad_()
        mels = torch.randn(batch, steps, 5, dtype=torch.float64)
        masks = module.draw_masks(steps, mels.transpose(0, 1))
        masks = type(masks)(
            tuple(m.to(device) for m in masks.prenet),  # type: ignore[union-attr, arg-type]
            *(m.to(device) for m in (masks.attention, masks.decoder) if m is not None),
        )
        mask = length_mask(torch.arange(batch) + tokens - batch + 1, tokens).to(device)
        out = module(memory, mask, mels.to(device), torch.full((batch,), steps, device=device), masks)
        loss = out.mel.square().sum() + out.gate_logits.sum() + attention * out.attention.square().sum()
        gradients = torch.autograd.grad(loss, [memory, *module.parameters()])
        results.append([x.detach().clone() for x in (out.mel, out.attention, *gradients)])  # the buffers are reused
    return results


def graphed(capture: Callable[[Callable[[], None]], Callable[[], None]] | None, device: str = "cpu") -> Decoder:
    module = decoder(device)
    module.use_graphs()
    for runner in (module.attention.runner, module.lstm_runner):
        runner.graphs[torch.float64] = Graphs(lambda *x, run=runner.run: run(torch.float64, *x), capture)  # type: ignore[misc, index]
    return module


def same(a: list[list[Tensor]], b: list[list[Tensor]], tolerance: float) -> bool:
    return all(
        torch.allclose(x.cpu(), y.cpu(), atol=tolerance)
        for xs, ys in zip(a, b, strict=True)
        for x, y in zip(xs, ys, strict=True)
    )


@pytest.mark.parametrize("attention", [True, False])
def test_replaying_equals_running(attention: bool) -> None:
    assert same(passes(decoder(), attention), passes(graphed(run_again), attention), 1e-12)


def test_forward_and_backward_of_each_size_are_captured_once() -> None:
    captured = []

    def counted(function: Callable[[], None]) -> Callable[[], None]:
        captured.append(function)
        return function

    module = graphed(counted)
    passes(module)
    assert len(captured) == 2 * 2 * len(set(SIZES))
    with torch.no_grad():
        memory, mels = torch.randn(1, 4, 12).double(), torch.randn(1, 6, 5).double()
        module(memory, torch.ones(1, 4, dtype=torch.bool), mels, torch.tensor([6]))
    assert len(captured) == 2 * 2 * len(set(SIZES)), "without a backward pass nothing is captured"


@pytest.mark.parametrize(
    "error",
    [RuntimeError("operation not permitted when stream is capturing"), torch.cuda.OutOfMemoryError("too little")],
)
def test_a_size_that_cannot_be_captured_runs_without_a_graph(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(function: Callable[[], None]) -> Callable[[], None]:
        raise error

    assert same(passes(decoder()), passes(graphed(refuse)), 1e-12)
    assert len(caplog.records) == 2 * len(set(SIZES))
    assert str(error) in caplog.text


def test_without_gradients_nothing_is_recorded() -> None:
    class Doubling:
        def __init__(self, recording: bool, x: Tensor) -> None:
            self.recording, self.outputs = recording, (2 * x,)

        def backward(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
            return tuple(None if g is None else 2 * g for g in gradients)

    tapes = []

    def run(dtype: torch.dtype, recording: bool, x: Tensor) -> Doubling:
        tapes.append(Doubling(recording, x))
        return tapes[-1]

    x, runner = torch.ones(2, requires_grad=True), Runner(run)
    runner(x.dtype, x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2]
    runner(x.dtype, x.detach())
    with torch.no_grad():
        runner(x.dtype, x)
    assert [tape.recording for tape in tapes] == [True, False, False]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_equal_running_on_the_cpu() -> None:
    assert same(passes(decoder()), passes(graphed(None, "cuda")), 1e-9)


def test_the_number_of_kept_graphs_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.model.recurrence.SIZES", 1)
    captured = []

    def counted(function: Callable[[], None]) -> Callable[[], None]:
        captured.append(function)
        return function

    module = graphed(counted)
    results = passes(module) + passes(module)
    assert same(results, passes(decoder()) * 2, 1e-12)
    assert len(captured) > 2 * 2 * len(set(SIZES))
    for runner in (module.attention.runner, module.lstm_runner):
        assert len(runner.graphs[torch.float64]._graphs) == 1  # type: ignore[index]
