"""Validation is repeatable, and the best checkpoint is the one with the lowest loss that can speak."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from short_run import CPU, FLOOR, Run, same, small_config, small_model

from trainer import checkpoint_files, reports, validation
from trainer.config import TrainerConfig
from trainer.data.features import Features
from trainer.protocol import EventKind
from trainer.text import SYMBOLS
from trainer.validation import Validation, rank, settle_batch_norm, validate

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("curve", "is_best", "best"),
    [
        ([(0.2, 1.0), (0.8, 3.0), (0.9, 2.0), (0.9, 2.5)], [True, True, True, False], 3),
        ([(0.5, 3.0), (0.4, 1.0), (0.5, 2.9), (0.0, 0.1)], [True, False, True, False], 3),
        (
            [(0.1, 3.0), (0.4, 2.0), (0.3, 1.0), (0.3, 1.5)],
            [True, True, True, False],
            3,
        ),  # none can speak: the lowest loss
        ([(0.1, math.nan), (0.1, 3.0), (0.1, math.nan), (0.1, 2.0)], [True, True, False, True], 4),
        ([(0.9, math.nan), (0.9, 3.0), (math.nan, 1.0), (0.9, 4.0)], [True, True, False, False], 2),
    ],
)
def test_the_best_checkpoint_has_the_lowest_loss_of_those_that_can_speak(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    features: Features,
    curve: list[tuple[float, float]],
    is_best: list[bool],
    best: int,
) -> None:
    points = iter(curve)

    def scripted(*arguments: Any) -> Validation:
        alignment, loss = next(points)
        real = validate(*arguments)
        return replace(real, figures=real.figures | {"alignment": alignment, "loss": loss})

    monkeypatch.setattr(reports, "validate", scripted)
    run = Run(small_config(tmp_path, validation={"alignment_floor": 0.5, "free_running_utterances": 0}), features)
    assert [event.data["best"] for event in run.of(EventKind.VALIDATION)] == is_best
    saved = [event.update for event in run.of(EventKind.CHECKPOINT) if event.data["best"]]
    assert saved == [event.update for event in run.of(EventKind.VALIDATION) if event.data["best"]]
    kept = checkpoint_files.load(run.dir.best_checkpoint)
    assert (kept["figures"]["index"], kept["figures"]["loss"]) == (best, curve[best - 1][1])
    assert kept["symbols"] == list(SYMBOLS)
    config = run.state.config
    resolved = replace(config, text=replace(config.text, language="en"))  # detected from the texts
    assert TrainerConfig.from_mapping(kept["config"]) == resolved != config
    assert run.events[-1].data["best"]["index"] == best
    assert not run.of(EventKind.FREE_RUNNING)


def test_a_model_that_cannot_speak_never_ranks_before_one_that_can() -> None:
    order = [(0.5, 1.0), (0.9, 2.0), (0.7, math.inf), (0.49, 0.1), (math.nan, 0.2), (0.0, math.nan)]
    ranks = [rank({"alignment": alignment, "loss": loss}, 0.5, "validation_loss") for alignment, loss in order]
    assert ranks == sorted(ranks)


def test_what_is_heard_ranks_reports_that_align() -> None:
    """Nearer to the recordings is better, whatever the loss; where that was not measured, after those where it was."""
    by = "free_running_distance"
    order = [(0.9, 3.0, 8.0), (0.6, 1.0, 9.0), (0.7, 1.5, math.nan), (0.7, 2.0, math.nan), (0.4, 0.5, 7.0)]
    ranks = [rank({"alignment": alignment, "loss": loss, by: heard}, 0.5, by) for alignment, loss, heard in order]
    assert ranks == sorted(ranks)
    assert rank({"alignment": 0.7, "loss": 1.5}, 0.5, by) == ranks[2]


def test_the_last_report_of_a_model_that_aligns_says_what_is_heard(tmp_path: Path, features: Features) -> None:
    run = Run(small_config(tmp_path, validation={"alignment_floor": 0.0, "best_by": "free_running_distance"}), features)
    *_, final = (event.data for event in run.of(EventKind.VALIDATION))
    assert {"free_running_distance", "free_running_failed", "free_running_recognised"} <= set(final)
    (best,) = (event.data for event in run.of(EventKind.FREE_RUNNING))
    if final["best"]:
        assert best["distance"] == pytest.approx(final["free_running_distance"])
    assert best["ceiling_mcd"] > 0


def test_validation_is_repeatable_and_leaves_the_random_state_alone(features: Features) -> None:
    model = small_model()
    state = torch.get_rng_state()
    settle_batch_norm(model, features, 4, FLOOR, CPU)
    shown = features.validation[-2:]
    first = validate(model, features, 4, FLOOR, CPU, shown)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    settle_batch_norm(model, features, 4, FLOOR, CPU)
    assert validate(model, features, 4, FLOOR, CPU).figures == first.figures
    assert not model.training
    assert sorted(first.shown) == sorted(shown)
    for clip, seen in first.shown.items():
        frames = int(features.frames[clip])
        assert seen.mel.shape == (frames, features.n_mels)
        assert seen.attention.shape == (-(-frames // model.reduction), len(features.tokens(clip)))
        np.testing.assert_allclose(seen.attention.sum(1), 1, rtol=1e-4)


def test_validation_does_not_depend_on_its_batches(features: Features) -> None:
    model = small_model(prenet_dropout=0.0).eval()
    together, alone = (validate(model, features, size, FLOOR, CPU).figures for size in (2, 1))
    assert together == pytest.approx(alone, rel=1e-4)


def test_batches_that_pass_the_decoder_together_settle_the_same(
    features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except for the prenet's dropout, which is drawn for all of them at once."""
    passes: list[int] = []

    def settled(most_frames: int) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(validation, "TOGETHER", {"cpu": most_frames})
        model = small_model(prenet_dropout=0.0)
        model.decoder.register_forward_hook(lambda decoder, inputs, output: passes.append(len(inputs[0])))
        settle_batch_norm(model, features, 3, FLOOR, CPU)
        return {name: value for name, value in model.state_dict().items() if "running" in name}

    alone, together = settled(0), settled(10**6)
    assert passes == [3, 3, 3, 3, 12]
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-5)


def test_settling_measures_the_batch_norms_and_restores_their_momentum(features: Features) -> None:
    model = small_model()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.fill_(math.nan)
    weights = {name: parameter.clone() for name, parameter in model.named_parameters()}
    settle_batch_norm(model, features, 4, FLOOR, CPU)
    assert all(norm.running_mean.isfinite().all() and norm.momentum == 0.1 for norm in norms)
    assert not any(norm.training for norm in norms)
    assert same(weights, dict(model.named_parameters()))
