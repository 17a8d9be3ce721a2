"""The learning rate and the weight of guided attention, at the ends and between."""

from itertools import pairwise
from typing import Literal

import pytest

from trainer.config import GuidedAttentionConfig, ScheduleConfig
from trainer.schedules import guided_attention_weight, lr_factor

Kind = Literal["constant", "exponential", "cosine", "wsd"]
KINDS: list[Kind] = ["constant", "exponential", "cosine", "wsd"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_warm_up_training_starts_at_the_full_rate(
    kind: Kind,
) -> None:
    assert lr_factor(ScheduleConfig(kind), update=0, budget_share=0.0) == 1.0


@pytest.mark.parametrize(
    ("kind", "half", "end"),
    [("constant", 1.0, 1.0), ("exponential", 0.01**0.5, 0.01), ("cosine", 0.505, 0.01), ("wsd", 1.0, 0.01)],
)
def test_the_rate_at_the_middle_and_the_end_of_the_budget(kind: Kind, half: float, end: float) -> None:
    config = ScheduleConfig(kind, final_factor=0.01)
    assert lr_factor(config, 10, 0.5) == pytest.approx(half)
    assert lr_factor(config, 10, 1.0) == pytest.approx(end)
    assert lr_factor(config, 10, 1.3) == lr_factor(config, 10, 1.0)  # the last batch runs over the budget


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("final_factor", [0.0, 0.3, 1.0])
def test_after_warm_up_the_rate_never_rises_and_ends_at_the_final_factor(kind: Kind, final_factor: float) -> None:
    config = ScheduleConfig(kind, final_factor=final_factor)
    factors = [lr_factor(config, 5, share / 50) for share in range(51)]
    assert all(a >= b for a, b in pairwise(factors))
    assert all(factor > 0 for factor in factors[:-1])
    assert factors[-1] == pytest.approx(1.0 if kind == "constant" else final_factor, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_warm_up_rises_in_equal_steps_to_the_full_rate(
    kind: Kind,
) -> None:
    config = ScheduleConfig(kind, warmup_updates=4)
    assert [lr_factor(config, update, 0.0) for update in range(7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])


def test_warm_up_multiplies_the_schedule() -> None:
    warm = ScheduleConfig("cosine", warmup_updates=9, final_factor=0.2)
    cold = ScheduleConfig("cosine", warmup_updates=0, final_factor=0.2)
    assert lr_factor(warm, 4, 0.3) == pytest.approx(0.5 * lr_factor(cold, 4, 0.3))


def test_guided_attention_halves_each_half_life() -> None:
    config = GuidedAttentionConfig(weight=8.0, half_life_frames=1000)
    weights = [guided_attention_weight(config, frames) for frames in (0, 500, 1000, 2000, 3000)]
    assert weights == pytest.approx([8, 8 / 2**0.5, 4, 2, 1])


def test_guided_attention_without_half_life_is_constant() -> None:
    config = GuidedAttentionConfig(weight=0.7)
    assert {guided_attention_weight(config, frames) for frames in (0, 10, 10**9)} == {0.7}


def test_guided_attention_switched_off_weighs_nothing() -> None:
    assert guided_attention_weight(GuidedAttentionConfig(enabled=False, weight=3.0), 0) == 0.0


def test_wsd_is_constant_until_its_decay_begins() -> None:
    config = ScheduleConfig("wsd", final_factor=0.1, decay_share=0.2)
    assert lr_factor(config, 10, 0.79) == 1.0
    assert lr_factor(config, 10, 0.85) == pytest.approx(1 - 0.9 * 0.25**0.5)  # a quarter of the decay
    assert lr_factor(config, 10, 1.0) == pytest.approx(0.1)
