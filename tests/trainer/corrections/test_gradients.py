"""Exploding updates: told once, measured by the training loss, and clipping is switched off where it does not help."""

import math
from dataclasses import asdict

import pytest
import torch

from trainer.corrections.correction import Correction
from trainer.corrections.gradients import COOL_DOWN, LAST_NORMS, MEASURED_AFTER, Clipping, UpdateFigures
from trainer.training_figures import RecentNorms

CPU = torch.device("cpu")


class Updates:
    """A run of updates, by their losses; exploding ones have a limit."""

    def __init__(self) -> None:
        self.clipping = Clipping()
        self.update = 0
        self.told: list[tuple[int, Correction]] = []

    def add(self, count: int = 1, loss: float = 5.0, limit: float = math.inf, finite: bool = True) -> "Updates":
        for _ in range(count):
            self.update += 1
            figures = UpdateFigures(self.update, finite, loss, 2.0 if math.isinf(limit) else 500.0, limit)
            self.clipping, correction = self.clipping.after(figures)
            if correction is not None:
                self.told.append((self.update, correction))
        return self

    @property
    def actions(self) -> list[tuple[int, str]]:
        return [(update, str(correction.action)) for update, correction in self.told]


def test_updates_that_do_not_explode_tell_nothing() -> None:
    assert Updates().add(1000).told == []


def test_an_exploding_update_is_told_and_measured_and_kept() -> None:
    updates = Updates().add(50).add(loss=9000.0, limit=2.5)
    assert updates.told[0][1].reason == ("gradient norm 500, usually below 2.5; such updates are clipped at that")
    assert (updates.told[0][1].before, updates.told[0][1].after) == (500.0, 2.5)
    updates.add(3, limit=2.5).add(MEASURED_AFTER)
    assert updates.actions == [(51, "clip"), (51 + MEASURED_AFTER, "keep")]
    assert updates.told[1][1].reason == (
        "training loss 5.000 -> 5.000 after 100 updates, of which 4 exploding updates were clipped (largest norm 500);"
        " kept"
    )
    assert updates.clipping.is_on


def test_clipping_after_which_the_loss_is_worse_is_switched_off() -> None:
    updates = Updates().add(50).add(limit=2.5).add(MEASURED_AFTER, loss=9.0)
    assert updates.actions == [(51, "clip"), (151, "undo")]
    assert not updates.clipping.is_on
    assert "nothing else is tried" in updates.told[1][1].reason


def test_explosions_in_the_cool_down_are_not_told_again() -> None:
    updates = Updates().add(50).add(limit=2.5).add(MEASURED_AFTER).add(COOL_DOWN - 1, limit=2.5)
    assert len(updates.told) == 2
    assert updates.add(limit=2.5).actions[2:] == [(updates.update, "clip")]


def test_explosions_that_go_on_are_measured_too() -> None:
    updates = Updates().add(50).add(MEASURED_AFTER + 1, limit=2.5)
    assert updates.actions == [(51, "clip"), (151, "keep")]


def test_updates_that_are_not_finite_do_not_count() -> None:
    updates = Updates().add(50).add(10, loss=math.nan, finite=False).add(limit=2.5).add(MEASURED_AFTER)
    assert "5.000 -> 5.000" in updates.told[1][1].reason


def test_clipping_survives_being_stored() -> None:
    updates = Updates().add(50).add(limit=2.5)
    assert Clipping(**asdict(updates.clipping)) == updates.clipping


def _limits(norms: RecentNorms, values: list[float], clip: float = 1e6) -> list[float]:
    return [float(norms.limit(torch.tensor(value), clip)) for value in values]


@pytest.mark.parametrize(("norm", "explodes"), [(1.0, False), (9.9, False), (11.0, True), (1e9, True)])
def test_a_norm_far_above_the_last_ones_explodes(norm: float, explodes: bool) -> None:
    norms = RecentNorms(CPU)
    assert _limits(norms, [1.0] * LAST_NORMS) == [math.inf] * LAST_NORMS
    assert _limits(norms, [norm]) == [1.0 if explodes else math.inf]


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_neither_explodes_nor_is_remembered(norm: float) -> None:
    norms = RecentNorms(CPU)
    _limits(norms, [1.0] * LAST_NORMS)
    assert _limits(norms, [norm]) == [math.inf]
    assert norms.norms.isfinite().all()


def test_nothing_explodes_before_enough_norms_are_known() -> None:
    assert _limits(RecentNorms(CPU), [1.0] * (LAST_NORMS // 2) + [1e9]) == [math.inf] * (LAST_NORMS // 2 + 1)


def test_a_clip_below_the_usual_norms_leaves_nothing_to_do() -> None:
    norms = RecentNorms(CPU)
    _limits(norms, [2.0] * LAST_NORMS, clip=1.0)
    assert _limits(norms, [1e6], clip=1.0) == [math.inf]
    assert _limits(norms, [1e6], clip=3.0) == [2.0]


def test_the_limit_is_a_percentile_so_that_a_few_explosions_do_not_move_it() -> None:
    norms = RecentNorms(CPU)
    _limits(norms, [float(i) for i in range(1, LAST_NORMS + 1)])
    assert _limits(norms, [1e6]) == [pytest.approx(0.9 * LAST_NORMS, abs=1)]
    assert _limits(norms, [1e6] * 3)[-1] < LAST_NORMS
