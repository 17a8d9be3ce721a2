"""The speed of training is measured by training, of which nothing is kept."""

import math
from pathlib import Path

import pytest
from short_run import Run, small_config, stop_after

from trainer.data.features import Features
from trainer.errors import ConfigError
from trainer.speed import measure_speed
from trainer.stopping import Stopped, StopRequest

pytestmark = pytest.mark.usefixtures("one_thread")


def test_nothing_is_kept_of_what_is_trained(tmp_path: Path, features: Features) -> None:
    run = tmp_path / "run"
    speed = measure_speed(small_config(run, budget={"frames": 100, "reports": 1}), features, 0.1, StopRequest())
    assert speed > 0
    assert math.isfinite(speed)
    assert not run.exists()


def test_a_run_to_go_on_from_is_left_as_it_is(tmp_path: Path, features: Features) -> None:
    trial = Run(small_config(tmp_path / "trial"), features, stop_after(9))
    before = trial.dir.last_checkpoint.read_bytes()
    config = small_config(tmp_path / "voice", continue_from=str(trial.dir.last_checkpoint))
    assert measure_speed(config, features, 0.1, StopRequest()) > 0
    assert trial.dir.last_checkpoint.read_bytes() == before


def test_what_cannot_be_continued_is_refused_before_it_is_trained(tmp_path: Path, features: Features) -> None:
    with pytest.raises(ConfigError, match="`continue_from`"):
        measure_speed(small_config(tmp_path, continue_from="missing.pt"), features, 0.1, StopRequest())


def test_settings_that_diverge_at_once_have_no_speed(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.speed.WARM_UP_UPDATES", 10**6)
    config = small_config(tmp_path, optimizer={"lr": 10.0, "gradient_clip": 1e6}, guided_attention={"weight": 10_000})
    monkeypatch.setattr("trainer.corrector.not_finite.BAD_UPDATES_BEFORE_ROLLBACK", 1)
    monkeypatch.setattr("trainer.losses.mel_loss", lambda *given: given[1].sum((1, 2)) * math.nan)
    with pytest.raises(ConfigError, match="before its speed was measured"):
        measure_speed(config, features, 0.1, StopRequest())


def test_a_stop_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, features: Features) -> None:
    monkeypatch.setattr(StopRequest, "reason", "received SIGINT")
    with pytest.raises(Stopped):
        measure_speed(small_config(tmp_path), features, 60, StopRequest())
