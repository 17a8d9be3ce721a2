"""Losses are means over valid frames and steps; padding does not count."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.config import GuidedAttentionConfig, LossConfig, TrainerConfig
from trainer.losses import (
    Losses,
    gate_figures,
    gate_loss,
    guided_attention_loss,
    mel_loss,
    training_losses,
)
from trainer.model import Tacotron2, Tacotron2Output
from trainer.model.layers import length_mask
from trainer.text import SYMBOLS

FRAMES, STEPS, TOKENS = torch.tensor([4, 7]), torch.tensor([2, 4]), torch.tensor([3, 5])
LOG2 = math.log(2)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _output(**parts: Tensor) -> Tacotron2Output:
    """Two utterances of 2 and 4 steps, 2 frames each; 3 mel bins, 3 and 5 tokens."""
    attention = torch.rand(2, 4, 5) * length_mask(TOKENS, 5)[:, None, :]
    made = {
        "mel_before": torch.randn(2, 8, 3),
        "mel": torch.randn(2, 8, 3),
        "gate_logits": torch.randn(2, 4),
        "attention": attention / attention.sum(2, keepdim=True),
        "steps": STEPS,
    }
    return Tacotron2Output(**{**made, **parts})


def _losses(
    output: Tacotron2Output, mels: Tensor, guided_weight: float = 0.0, loss: LossConfig | None = None
) -> Losses:
    return training_losses(
        output, mels, FRAMES, TOKENS, loss or LossConfig(gate_tail=0), GuidedAttentionConfig(sigma=0.3), guided_weight
    )


def test_the_mel_loss_is_the_mean_over_an_utterances_own_frames() -> None:
    mels = torch.zeros(2, 8, 3)
    before, after = torch.full((2, 8, 3), 2.0), torch.zeros(2, 8, 3)
    after[1, 0, 0] = 3.0
    loss = mel_loss(_output(mel_before=before, mel=after), mels, FRAMES)
    assert loss.tolist() == pytest.approx([4.0, 4.0 + 9 / 3 / 7])


def test_the_mel_loss_of_a_batch_is_the_mean_over_all_its_frames() -> None:
    mels = torch.zeros(2, 8, 3)
    before = torch.zeros(2, 8, 3)
    before[0], before[1] = 1.0, 3.0
    losses = _losses(_output(mel_before=before, mel=torch.zeros(2, 8, 3)), mels)
    assert losses.mel.item() == pytest.approx((4 * 1 + 7 * 9) / 11)


def test_the_gate_should_fire_at_the_last_true_step_only() -> None:
    undecided = gate_loss(torch.zeros(2, 4), STEPS, positive_weight=1.0)
    assert undecided.item() == pytest.approx(LOG2)
    assert gate_loss(torch.zeros(2, 4), STEPS, positive_weight=5.0).item() == pytest.approx(LOG2 * (5 * 2 + 4) / 6)
    right = torch.full((2, 4), -20.0)
    right[0, 1] = right[1, 3] = 20.0
    assert gate_loss(right, STEPS, 5.0).item() < 1e-6
    late = right.roll(1, 1)
    assert gate_loss(late, STEPS, 1.0).item() == pytest.approx((20 + 20 + 20) / 6, rel=1e-4)  # 2 misses, 1 false alarm


@pytest.mark.parametrize("sigma", [0.1, 0.4])
def test_guided_attention_equals_a_plain_loop(sigma: float) -> None:
    attention = _output().attention
    total = 0.0
    for b in range(2):
        for t in range(int(STEPS[b])):
            for n in range(int(TOKENS[b])):
                distance = n / int(TOKENS[b]) - t / int(STEPS[b])
                total += attention[b, t, n].item() * (1 - math.exp(-(distance**2) / (2 * sigma**2)))
    loss = guided_attention_loss(attention, TOKENS, STEPS, sigma)
    assert loss.item() == pytest.approx(total / int(STEPS.sum()), rel=1e-5)


def test_guided_attention_is_small_on_the_diagonal_and_large_off_it() -> None:
    line = torch.eye(20)[None]
    lengths = torch.tensor([20])
    assert guided_attention_loss(line, lengths, lengths, 0.3).item() == 0
    assert guided_attention_loss(line.flip(1), lengths, lengths, 0.1).item() > 0.7


def test_garbage_in_the_padding_changes_no_loss_and_no_figure() -> None:
    output, mels = _output(), torch.randn(2, 8, 3)
    frame_padding, step_padding = ~length_mask(FRAMES, 8)[:, :, None], ~length_mask(STEPS, 4)
    noisy = _output(
        mel_before=output.mel_before + frame_padding * 100,
        mel=output.mel - frame_padding * 100,
        gate_logits=output.gate_logits + step_padding * 100,
        attention=output.attention + step_padding[:, :, None] * 100,
    )
    clean_losses = _losses(output, mels, 0.5)
    noisy_losses = _losses(noisy, mels + frame_padding * 1000, 0.5)
    for name in ("total", "mel", "gate", "guided_attention"):
        assert torch.equal(getattr(clean_losses, name), getattr(noisy_losses, name)), name
    clean, dirty = (gate_figures(o.gate_logits, STEPS) for o in (output, noisy))
    assert torch.equal(clean.f1, dirty.f1)
    assert torch.equal(clean.stop_error, dirty.stop_error)


def test_padding_gets_no_gradient() -> None:
    parts = {name: part.detach().requires_grad_() for name, part in vars(_output()).items() if name != "steps"}
    _losses(_output(**parts), torch.randn(2, 8, 3), 0.5).total.backward()
    for name, lengths in (("mel", FRAMES), ("mel_before", FRAMES), ("gate_logits", STEPS), ("attention", STEPS)):
        gradient = parts[name].grad
        assert gradient is not None
        valid = length_mask(lengths, gradient.shape[1])
        assert (gradient[~valid] == 0).all(), name
        assert (gradient[valid] != 0).any(), name


def test_the_total_is_the_weighted_sum_and_the_parts_are_not_weighted() -> None:
    output, mels = _output(), torch.randn(2, 8, 3)
    weights = LossConfig(gate_weight=3.0, gate_positive_weight=2.0, gate_tail=0)
    losses = _losses(output, mels, 0.25, weights)
    assert losses.gate.item() == pytest.approx(gate_loss(output.gate_logits, STEPS, 2.0).item())
    assert losses.total.item() == pytest.approx(
        (losses.mel + 3 * losses.gate + 0.25 * losses.guided_attention).item(), rel=1e-6
    )
    without = _losses(output, mels, 0.0, weights)
    assert without.total.item() == pytest.approx((losses.mel + 3 * losses.gate).item(), rel=1e-6)
    assert without.guided_attention.item() == losses.guided_attention.item()  # computed, though not minimised


def test_the_gate_should_fire_in_the_tail_too_and_its_steps_share_the_weight() -> None:
    steps = torch.tensor([2, 4])
    logits = torch.zeros(2, 9)
    assert gate_loss(logits, steps, 3.0, tail=2).item() == pytest.approx(LOG2)  # weight 1 at each of three steps
    fires = torch.full((2, 9), -20.0)
    fires[0, 1:4] = fires[1, 3:6] = 20.0
    assert gate_loss(fires, steps, 3.0, tail=2).item() < 1e-6
    fires[:, 6:] = 100.0  # padding
    assert gate_loss(fires, steps, 3.0, tail=2).item() < 1e-6
    late = fires.clone()
    late[0, 1] = -20.0
    assert gate_loss(late, steps, 3.0, tail=2).item() == pytest.approx(20 / 10, rel=1e-4)
    assert gate_loss(logits[:, :4], steps, 3.0, tail=2).item() == pytest.approx(LOG2)  # a batch without room for it


@pytest.mark.parametrize(
    ("fires", "f1", "stop_error"),
    [
        ([], 0.0, 5),  # never: right at 4 of 5 steps
        ([4], 1.0, 0),
        ([0, 1, 2, 3, 4], 2 / 6, 4),  # always
        ([3], 0.0, 1),
        ([3, 4], 2 / 3, 1),
        ([5, 6], 0.0, 5),  # in the padding only
        ([4, 6], 1.0, 0),
    ],
)
def test_gate_figures_are_bad_for_trivial_predictors(fires: list[int], f1: float, stop_error: float) -> None:
    logits = torch.full((1, 8), -3.0)
    logits[0, fires] = 3.0
    figures = gate_figures(logits, torch.tensor([5]))
    assert figures.f1.tolist() == pytest.approx([f1])
    assert figures.stop_error.tolist() == [stop_error]


@pytest.mark.parametrize("part", ["total", "mel", "gate", "guided_attention"])
def test_a_gradient_step_lowers_each_loss(part: str) -> None:
    widths: dict[str, Any] = {"embedding_dim": 8, "encoder_dim": 8, "prenet_dim": 8, "attention_rnn_dim": 8}
    dropouts = dict.fromkeys(("encoder_dropout", "prenet_dropout", "postnet_dropout"), 0.0)
    raw = {"preset": "tiny", "model": {**widths, **dropouts, "decoder_rnn_dim": 8, "postnet_dim": 8, "reduction": 2}}
    model = Tacotron2(TrainerConfig.from_mapping(raw).model, len(SYMBOLS), 3).train()
    tokens, mels = torch.randint(1, len(SYMBOLS), (2, 5)), torch.randn(2, 8, 3) - 5

    def loss() -> Tensor:
        output = model(tokens, TOKENS, mels, FRAMES)
        if part == "gate":
            return gate_loss(output.gate_logits, output.steps, 5.0)
        if part == "guided_attention":
            return guided_attention_loss(output.attention, TOKENS, output.steps, 0.2)
        if part == "mel":
            return mel_loss(output, mels, FRAMES).mean()
        return _losses(output, mels, 1.0).total

    before = loss()
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    assert loss().item() < before.item()
