"""The model computes what the paper describes, and an utterance does not depend on its batch."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.plain_decoder import PlainDecoder
from trainer.config import ModelConfig, TrainerConfig
from trainer.model import Tacotron2, Tacotron2Output
from trainer.model.decoder import Decoder, Masks
from trainer.model.dropout import keep_mask
from trainer.model.free_running import CHECK_EVERY
from trainer.model.layers import length_mask
from trainer.text import SYMBOLS

MELS = 5
TOKENS = torch.tensor([7, 12, 3])
FRAMES = torch.tensor([13, 6, 17])
SMALL: dict[str, Any] = {
    "embedding_dim": 10,
    "encoder_dim": 12,
    "encoder_convolutions": 2,
    "prenet_dim": 6,
    "prenet_dropout": 0.0,
    "attention_rnn_dim": 14,
    "attention_dim": 8,
    "location_filters": 4,
    "location_kernel": 5,
    "attention_dropout": 0.0,
    "decoder_rnn_dim": 9,
    "decoder_dropout": 0.0,
    "postnet_dim": 7,
    "postnet_convolutions": 3,
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _small(**changes: Any) -> ModelConfig:
    return replace(TrainerConfig.from_mapping({"model": SMALL}).model, **changes)


def _model(**changes: Any) -> Tacotron2:
    """In eval mode, with random statistics in the batch norms."""
    model = Tacotron2(_small(**changes), len(SYMBOLS), MELS)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.5, 0.5)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return model.eval()


def _inputs(reduction: int) -> tuple[Tensor, Tensor]:
    """Padded tokens and mels of three utterances."""
    tokens = torch.randint(1, len(SYMBOLS), (3, int(TOKENS.max()))) * length_mask(TOKENS, int(TOKENS.max()))
    longest = -(-int(FRAMES.max()) // reduction) * reduction
    return tokens, torch.randn(3, longest, MELS) * length_mask(FRAMES, longest)[:, :, None]


def _steps(frames: Tensor, reduction: int) -> Tensor:
    return -(-frames // reduction)


@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_the_output_has_the_teachers_shape(reduction: int) -> None:
    tokens, mels = _inputs(reduction)
    out = _model(reduction=reduction)(tokens, TOKENS, mels, FRAMES)
    steps = mels.shape[1] // reduction
    assert out.mel.shape == out.mel_before.shape == mels.shape
    assert out.gate_logits.shape == (3, steps)
    assert out.attention.shape == (3, steps, 12)
    assert out.steps.tolist() == _steps(FRAMES, reduction).tolist()


@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_an_utterance_alone_and_in_a_batch_give_the_same(reduction: int) -> None:
    model = _model(reduction=reduction)
    tokens, mels = _inputs(reduction)
    together = model(tokens, TOKENS, mels, FRAMES)
    for i, (n, frames) in enumerate(zip(TOKENS.tolist(), FRAMES.tolist(), strict=True)):
        steps = int(together.steps[i])
        alone = model(tokens[i : i + 1, :n], TOKENS[i : i + 1], mels[i : i + 1, : steps * reduction], FRAMES[i : i + 1])
        for name in ("mel", "mel_before"):
            close(getattr(alone, name)[0, :frames], getattr(together, name)[i, :frames], 1e-5)
        close(alone.gate_logits[0], together.gate_logits[i, :steps], 1e-5)
        close(alone.attention[0], together.attention[i, :steps, :n], 1e-5)


def test_garbage_in_the_padding_changes_nothing() -> None:
    model = _model(reduction=3)
    tokens, mels = _inputs(3)
    clean = model(tokens, TOKENS, mels, FRAMES)
    padding = ~length_mask(FRAMES, mels.shape[1])[:, :, None]
    noisy_tokens = torch.where(length_mask(TOKENS, tokens.shape[1]), tokens, 5)
    noisy = model(noisy_tokens, TOKENS, mels + padding * torch.randn_like(mels) * 100, FRAMES)
    for i in range(3):
        frames, steps = int(FRAMES[i]), int(clean.steps[i])
        assert torch.equal(noisy.mel[i, :frames], clean.mel[i, :frames])
        assert torch.equal(noisy.gate_logits[i, :steps], clean.gate_logits[i, :steps])
        assert torch.equal(noisy.attention[i, :steps], clean.attention[i, :steps])


@pytest.mark.parametrize("training", [False, True])
def test_attention_is_a_distribution_over_the_true_tokens(training: bool) -> None:
    model = _model(reduction=2, attention_dropout=0.3).train(training)
    tokens, mels = _inputs(2)
    attention = model(tokens, TOKENS, mels, FRAMES).attention
    assert (attention >= 0).all()
    close(attention.sum(2), torch.ones(attention.shape[:2]), 1e-6)
    padding = ~length_mask(TOKENS, 12)
    assert (attention.transpose(1, 2)[padding] == 0).all()


DROPOUTS = ("prenet_dropout", "attention_dropout", "decoder_dropout")


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("reduction", "repeats"), [(1, 1), (3, 1), (1, 3)])
def test_the_decoder_equals_a_plain_one_in_outputs_and_gradients(reduction: int, repeats: int, dropout: float) -> None:
    decoder = Decoder(_small(reduction=reduction, **dict.fromkeys(DROPOUTS, dropout)), MELS).double().train()
    plain = PlainDecoder(_small(reduction=reduction), MELS).double()
    plain.load_state_dict(decoder.state_dict())
    memory = torch.randn(3, 12, SMALL["encoder_dim"], dtype=torch.float64, requires_grad=True)
    mels = (
        _inputs(reduction)[1].double().repeat(1, repeats, 1)
    )  # three times: more steps than one chunk of the backward pass
    mask, masks = length_mask(TOKENS, 12), decoder.draw_masks(mels.shape[1] // reduction, mels.transpose(0, 1))
    assert (masks.attention is None) == (dropout == 0)

    outputs = [module(memory, mask, mels, FRAMES, masks) for module in (decoder, plain)]
    got, expected = ((out.mel, out.gate_logits, out.attention) for out in outputs)
    for a, b in zip(got, expected, strict=True):
        close(a, b, 1e-8)

    weights = [torch.randn_like(part) for part in got]  # each output counts, with its own weights
    gradients, expected_gradients = (
        torch.autograd.grad(
            sum((o * w).sum() for o, w in zip(parts, weights, strict=True)), [memory, *module.parameters()]
        )
        for parts, module in ((got, decoder), (expected, plain))
    )
    names = ["memory", *(name for name, _ in decoder.named_parameters())]
    for name, a, b in zip(names, gradients, expected_gradients, strict=True):
        assert b.abs().max() > 0, name
        assert (a - b).abs().max() <= 1e-8 * max(1.0, b.abs().max().item()), name


@pytest.mark.parametrize("used", ["mel", "gate_logits", "attention"])
def test_the_gradient_is_right_with_only_one_output_used(used: str) -> None:
    decoder = Decoder(_small(reduction=2), MELS).double()
    plain = PlainDecoder(_small(reduction=2), MELS).double()
    plain.load_state_dict(decoder.state_dict())
    memory = torch.randn(3, 12, SMALL["encoder_dim"], dtype=torch.float64, requires_grad=True)
    mels, mask = _inputs(2)[1].double(), length_mask(TOKENS, 12)
    a, b = (
        torch.autograd.grad(getattr(module(memory, mask, mels, FRAMES), used)[:, ::2].square().sum(), memory)[0]
        for module in (decoder, plain)
    )
    assert b.abs().max() > 0
    close(a, b, 1e-8)


def test_a_second_backward_is_refused() -> None:
    decoder = Decoder(_small(), MELS)
    memory = torch.randn(3, 12, SMALL["encoder_dim"], requires_grad=True)
    total = decoder(memory, length_mask(TOKENS, 12), _inputs(1)[1], FRAMES).mel.sum()
    total.backward(retain_graph=True)
    with pytest.raises(AssertionError, match="once"):
        total.backward()


@pytest.mark.parametrize("reduction", [1, 2])
def test_free_running_equals_teacher_forcing_with_its_own_frames(reduction: int) -> None:
    model = _model(reduction=reduction)
    tokens, _ = _inputs(reduction)
    limit = torch.tensor([8, 14, 11])
    free_running = model.infer(tokens, TOKENS, limit, gate_threshold=1.0)
    teacher_forced = model(tokens, TOKENS, free_running.mel_before, free_running.steps * reduction)
    assert free_running.steps.tolist() == _steps(limit, reduction).tolist()
    for i, steps in enumerate(free_running.steps.tolist()):
        frames = steps * reduction
        close(free_running.mel_before[i, :frames], teacher_forced.mel_before[i, :frames], 1e-5)
        close(free_running.mel[i, :frames], teacher_forced.mel[i, :frames], 1e-5)
        close(free_running.gate_logits[i, :steps], teacher_forced.gate_logits[i, :steps], 1e-5)
        close(free_running.attention[i, :steps], teacher_forced.attention[i, :steps], 1e-5)


def _infer_with_gate(bias: float, limit: list[int], reduction: int = 2, rows: int = 3) -> Tacotron2Output:
    model = _model(reduction=reduction)
    with torch.no_grad():
        model.decoder.gate.weight.zero_()
        model.decoder.gate.bias.fill_(bias)
    return model.infer(_inputs(reduction)[0][:rows], TOKENS[:rows], torch.tensor(limit))


def test_a_gate_that_fires_stops_the_utterance() -> None:
    out = _infer_with_gate(10.0, [50, 60, 70])
    assert out.steps.tolist() == [1, 1, 1]
    assert out.mel.shape == (3, 2, MELS)


def test_a_gate_that_never_fires_ends_at_the_limit() -> None:
    out = _infer_with_gate(-10.0, [5, 8, 1])
    assert out.steps.tolist() == [3, 4, 1]
    assert out.mel.shape == (3, 8, MELS)
    assert out.attention.shape == (3, 4, 12)


@pytest.mark.parametrize("check_every", [1, 16])  # 16: as on CUDA
def test_each_utterance_stops_at_its_own_gate(check_every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECK_EVERY, "cpu", check_every)
    model = _model(reduction=1)
    tokens, _ = _inputs(1)
    limit = torch.tensor([30, 30, 30])
    logits = model.infer(tokens, TOKENS, limit, gate_threshold=1.0).gate_logits
    threshold = torch.sigmoid(logits[:, 3:]).amax(1).min().item() - 1e-6  # fires at some step of every row
    fires = torch.sigmoid(logits) > threshold
    expected = (fires.float().argmax(1) + 1).tolist()
    out = model.infer(tokens, TOKENS, limit, gate_threshold=threshold)
    assert out.steps.tolist() == expected
    assert len(set(expected)) > 1, "the case is trivial"
    assert out.mel.shape[1] == max(expected)


def test_a_free_running_utterance_does_not_depend_on_longer_ones() -> None:
    model = _model(reduction=2)
    tokens, _ = _inputs(2)
    together = model.infer(tokens, TOKENS, torch.tensor([6, 20, 9]), gate_threshold=1.0)
    alone = model.infer(tokens[:1, :7], TOKENS[:1], torch.tensor([6]), gate_threshold=1.0)
    close(alone.mel[0], together.mel[0, :6], 1e-5)


def test_the_prenets_dropout_stays_on_in_free_running() -> None:
    model = _model(prenet_dropout=0.5)
    tokens, _ = _inputs(1)
    first, second = (model.infer(tokens, TOKENS, torch.tensor([9, 9, 9]), gate_threshold=1.0).mel for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("width", [6, 8])  # 6: no multiple of the elements that are drawn at once
def test_the_masks_of_free_running_are_drawn_step_by_step(width: int) -> None:
    """So that a program that draws them one after the other, from the same seed, says the same."""
    model = _model(prenet_dim=width, prenet_dropout=0.3)
    steps, like = 20, torch.empty(0)
    tokens = _inputs(1)[0][:1, :7]
    torch.manual_seed(5)
    said = model.infer(tokens, TOKENS[:1], torch.tensor([steps]), gate_threshold=1.0)
    torch.manual_seed(5)
    drawn = torch.stack([torch.stack([keep_mask((1, width), 0.3, like) for _ in range(2)]) for _ in range(steps)])
    memory, mask = model._encode(tokens, TOKENS[:1])
    masks = Masks((drawn[:, 0], drawn[:, 1]), None, None)
    expected = model.decoder(memory, mask, said.mel_before, torch.tensor([steps]), masks)
    close(said.mel_before, expected.mel, 1e-5)


@pytest.mark.parametrize(
    "dropout", ["encoder_dropout", "attention_dropout", "decoder_dropout", "postnet_dropout", "prenet_dropout"]
)
def test_each_dropout_acts_in_training(dropout: str) -> None:
    without_dropout = dict.fromkeys(
        ["encoder_dropout", "attention_dropout", "decoder_dropout", "postnet_dropout", "prenet_dropout"], 0.0
    )
    tokens, mels = _inputs(1)
    for probability in (0.0, 0.5):
        model = _model(**{**without_dropout, dropout: probability}).train()
        first, second = (model(tokens, TOKENS, mels, FRAMES).mel for _ in range(2))
        assert torch.equal(first, second) == (probability == 0.0)


@pytest.mark.parametrize(("preset", "least", "most"), [("full", 27.5e6, 29e6), ("tiny", 1.15e6, 1.25e6)])
def test_the_presets_have_their_documented_sizes(preset: str, least: float, most: float) -> None:
    config = TrainerConfig.from_mapping({"preset": preset})
    with torch.device("meta"):
        model = Tacotron2(config.model, len(SYMBOLS), config.audio.n_mels)
    assert least <= sum(p.numel() for p in model.parameters()) <= most


def close(a: Tensor, b: Tensor, tolerance: float) -> None:
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tolerance
