"""Masks drop their share, and keep the mean."""

import pytest
import torch

from trainer.model.dropout import dropout, keep_mask


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.95])
def test_a_mask_drops_its_share_and_keeps_the_mean(probability: float) -> None:
    torch.manual_seed(0)
    mask = keep_mask((400, 1001), probability, torch.zeros(0))
    dropped = (mask == 0).double().mean().item()
    assert dropped == pytest.approx(probability, abs=0.003)
    assert mask.double().mean().item() == pytest.approx(1, abs=0.01)
    assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - probability)], rel=1e-3)


def test_neighbours_are_independent() -> None:
    torch.manual_seed(0)
    kept = keep_mask((100_000,), 0.5, torch.zeros(0)) > 0
    for distance in (1, 2, 3, 4, 5):
        both = (kept[:-distance] & kept[distance:]).double().mean().item()
        assert both == pytest.approx(0.25, abs=0.01)


def test_the_same_seed_gives_the_same_mask() -> None:
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(keep_mask((50, 3), 0.3, torch.zeros(0, dtype=torch.float64)))
    assert draws[0].dtype == torch.float64
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_dropout_keeps_the_memory_layout_and_drops_everywhere() -> None:
    torch.manual_seed(0)
    x = torch.ones(8, 50, 60).transpose(1, 2)
    out = dropout(x, 0.5, active=True)
    assert out.stride() == x.stride()
    assert ((out == 0).double().mean(1) - 0.5).abs().max() < 0.35
    assert set(out.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(("probability", "active"), [(0.0, True), (0.5, False)])
def test_without_dropout_nothing_changes(probability: float, active: bool) -> None:
    x = torch.randn(3, 4)
    assert dropout(x, probability, active) is x
