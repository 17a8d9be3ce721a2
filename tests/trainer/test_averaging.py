"""Averaged weights: the mean itself, lending it to a model, and reports that choose between both."""

from pathlib import Path

import pytest
import torch
from short_run import Run, same, small_config, small_model, stop_after

from trainer import checkpoint_files
from trainer.averaging import WeightAverage
from trainer.data.features import Features
from trainer.protocol import EventKind, RunDir

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_share_of_one_gives_the_plain_mean() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 1.0)
    for update, weight in enumerate([3.0, 5.0, 10.0], start=1):
        with torch.no_grad():
            model.weight.fill_(weight)
        average.update(update)
    assert average.state_dict()["weight"].item() == pytest.approx(6.0)


def test_a_small_share_forgets_the_beginning() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.1)
    for update in range(1, 201):
        with torch.no_grad():
            model.weight.fill_(0.0 if update <= 100 else 1.0)
        average.update(update)
    # A rate of 10 / t at update t: what update 100 left has the weight (100/200) ** 10.
    assert average.state_dict()["weight"].item() == pytest.approx(1 - 0.5**10, abs=2e-3)


def test_the_mean_is_lent_with_buffers_of_its_own() -> None:
    model = torch.nn.BatchNorm1d(2)
    average = WeightAverage(model, 1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.weight.fill_(4.0)
    with average.lent():
        assert torch.equal(model.weight, torch.ones(2))
        assert model.running_mean is not None
        model.running_mean.fill_(7.0)
    assert torch.equal(model.weight, torch.full((2,), 4.0))
    assert torch.equal(model.state_dict()["running_mean"], before["running_mean"])


@pytest.mark.slow
def test_averaging_changes_no_number_of_the_training(finished: Run, tmp_path: Path, features: Features) -> None:
    run = Run(small_config(tmp_path, averaging={"share": 0.5}), features)
    for key in ("model", "optimizer", "rng"):
        assert same(run.last[key], finished.last[key]), key


def test_a_report_has_the_figures_of_the_better_weights(finished: Run, tmp_path: Path, features: Features) -> None:
    run = Run(small_config(tmp_path, averaging={"share": 0.5}), features)
    plain = [event.data for event in finished.of(EventKind.VALIDATION)]
    reports = [event.data for event in run.of(EventKind.VALIDATION)]
    assert {report["averaged"] for report in reports} <= {0.0, 1.0}
    for report, own in zip(reports, plain, strict=True):
        if report["averaged"]:
            assert report["loss"] < own["loss"]
        else:
            assert report["loss"] == own["loss"]
    best = checkpoint_files.load(RunDir(tmp_path).best_checkpoint)
    averaged = run.state.best is not None and run.state.best["averaged"]
    assert best["figures"]["averaged"] == averaged


def test_best_holds_the_averaged_weights_where_they_are_better(tmp_path: Path, features: Features) -> None:
    """Weights that jump about their goal at a far too high rate are worse than their mean."""
    changes = {"optimizer": {"lr": 0.05}, "averaging": {"share": 0.5}, "budget": {"frames": 4000, "reports": 1}}
    run = Run(small_config(tmp_path, **changes), features)
    (report,) = run.of(EventKind.VALIDATION)
    assert report.data["averaged"] == 1.0
    assert run.state.average is not None
    mean = run.state.average.state_dict()
    best = checkpoint_files.load(run.dir.best_checkpoint)["model"]
    assert all(torch.equal(best[name], value) for name, value in mean.items())
    assert not same({name: run.last["model"][name] for name in mean}, mean)


@pytest.mark.slow
def test_a_stopped_run_resumes_with_the_same_mean(tmp_path: Path, features: Features) -> None:
    changes = {"averaging": {"share": 0.3}}
    whole = Run(small_config(tmp_path / "whole", **changes), features)
    Run(small_config(tmp_path / "parts", **changes), features, stop_after(9))
    parts = Run(small_config(tmp_path / "parts", **changes), features)
    for key in ("model", "average", "best", "kept"):
        assert same(parts.last[key], whole.last[key]), key


def test_the_model_of_the_paper_lends_all_its_parameters() -> None:
    model = small_model()
    average = WeightAverage(model, 0.1)
    assert average.state_dict().keys() == dict(model.named_parameters()).keys()
