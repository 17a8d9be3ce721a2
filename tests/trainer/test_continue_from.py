"""`continue_from`: a run that begins with the state of another run."""

from pathlib import Path
from typing import Any

import pytest
from short_run import Run, figures_of, same, small_config, stop_after

from trainer import checkpoint_files
from trainer.data.features import Features
from trainer.errors import ConfigError
from trainer.protocol import EventKind, ExitCode
from trainer.resuming import open_state

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_it_goes_on_as_the_other_run_would_have(finished: Run, tmp_path: Path, features: Features) -> None:
    trial = Run(small_config(tmp_path / "trial"), features, stop_after(14))
    voice = Run(small_config(tmp_path / "voice", continue_from=str(trial.dir.last_checkpoint)), features)
    assert voice.code is ExitCode.FINISHED
    assert (voice.events[0].update, voice.events[0].data["resumed"]) == (14, False)
    expected = [event for event in finished.events if event.update > 14]
    assert [f[:3] for f in figures_of(voice.events)] == [f[:3] for f in figures_of(expected)]
    assert same(voice.last["model"], finished.last["model"])
    assert trial.last["progress"]["update"] == 14  # its own folder stays as it was


def test_it_resumes_its_own_run_where_there_is_one(finished: Run, tmp_path: Path, features: Features) -> None:
    trial = Run(small_config(tmp_path / "trial"), features, stop_after(10))
    config = small_config(tmp_path / "voice", continue_from=str(trial.dir.last_checkpoint))
    Run(config, features, stop_after(9))
    voice = Run(config, features)
    assert (voice.events[0].update, voice.events[0].data["resumed"]) == (19, True)
    assert same(voice.last["model"], finished.last["model"])


def test_the_rate_and_the_budget_are_its_own(tmp_path: Path, features: Features) -> None:
    trial = Run(small_config(tmp_path / "trial"), features)
    changes: dict[str, Any] = {
        "continue_from": str(trial.dir.last_checkpoint),
        "optimizer": {"lr": 1e-5, "weight_decay": 0.5},
        "budget": {"frames": 6000, "reports": 6},
        "averaging": {"share": 0.1},
    }
    voice = Run(small_config(tmp_path / "voice", **changes), features)
    assert {event.data["lr"] for event in voice.of(EventKind.PROGRESS)} == {1e-5}
    assert voice.state.optimizer.param_groups[0]["weight_decay"] == 0.5
    assert [event.data["index"] for event in voice.of(EventKind.VALIDATION)] == [5, 6]


def test_it_knows_the_symbols_of_both_corpora(tmp_path: Path, features: Features) -> None:
    trial = Run(small_config(tmp_path / "trial"), features, stop_after(3))
    last = trial.last
    own = last["trained"]
    assert own == list(features.used_symbols())
    checkpoint_files.save(trial.dir.last_checkpoint, {**last, "trained": ["é", own[-1]]})
    voice = open_state(small_config(tmp_path / "voice", continue_from=str(trial.dir.last_checkpoint)), features)
    assert voice.trained == ("é", own[-1], *own[:-1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"continue_from": "missing.pt"}, "`continue_from`: missing.pt: cannot be read"),
        ({"continue_from": "VOICE"}, "is a voice, which holds no state of training; name the last.pt of a run"),
        ({"continue_from": "STATE", "model": {"prenet_dim": 12}}, "`model.prenet_dim` 8 there, 12 here"),
        ({"continue_from": "STATE"}, "has seen .* frames, and `budget.frames`, .* is 4,000; raise it"),
    ],
)
def test_what_cannot_be_continued_is_refused(
    finished: Run, tmp_path: Path, features: Features, changes: dict[str, Any], message: str
) -> None:
    files = {"VOICE": finished.dir.best_checkpoint, "STATE": finished.dir.last_checkpoint}
    name = changes["continue_from"]
    config = small_config(tmp_path, **{**changes, "continue_from": str(files.get(name, name))})
    with pytest.raises(ConfigError, match=message):
        open_state(config, features)
