"""`smart-tuner train`: which setting is trained, for how long, and how it is continued; with the fake trainer."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from commands import Cli, call_command
from lab import FAKE_TRAINER, GUIDED, Lab

import smart_tuner.executors.local
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.main import SmartTunerMain
from smart_tuner.training import sources, speed
from smart_tuner.training.definition import definition as training_definition
from trainer.config import TrainerConfig


@pytest.fixture
def cli(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Commands in this workspace, whose machine trains 100 frames a second."""
    monkeypatch.chdir(lab.path)
    monkeypatch.setenv("SMART_TUNER_MLFLOW", "false")
    monkeypatch.setenv("SMART_TUNER_DEVICE", "cpu")
    monkeypatch.setenv("SMART_TUNER_WORKSPACE", str(lab.workspace))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(smart_tuner.executors.local, "from_settings", lambda _: LocalExecutor(5.0, FAKE_TRAINER))
    monkeypatch.setattr(speed, "frames_per_second", lambda *_: 100.0)
    return partial(call_command, capsys)


@pytest.fixture
def searched(cli: Cli) -> None:
    """A study with a best trial, number 0, and one that was pruned."""
    assert cli("optimize", "--study", "lab.yaml", "--jobs", "1", "--trials", "2").code == 0


def definition(lab: Lab, study: str = "lab-voice") -> dict[str, Any]:
    found: dict[str, Any] = optuna.load_study(study_name=study, storage=lab.url).user_attrs["definition"]
    return found


@pytest.mark.usefixtures("searched")
def test_the_best_setting_becomes_a_voice(cli: Cli, lab: Lab) -> None:
    ended = cli("train", "--study", "lab")
    assert ended.code == 0, ended.err
    trained = definition(lab)
    for key, value in GUIDED.items():
        assert trained["fixed"].get(key, value) == value  # a value that is the preset's is not repeated
    assert trained["fixed"]["averaging.share"] > 0
    assert trained["search"] == {}
    assert trained["budget"]["frames"] == 1000 + 20 * 1000  # the trial's, and twenty times as many
    state = Path(trained["fixed"]["continue_from"])
    assert state == (lab.workspace / "runs" / "lab" / "trial-0000" / "checkpoints" / "last.pt").resolve()
    voice = lab.workspace / "voices" / "lab"
    run = lab.workspace / "runs" / "lab-voice" / "trial-0000"
    assert (voice / "voice.pt").read_bytes() == (run / "checkpoints" / "best.pt").read_bytes()
    about = json.loads((voice / "voice.json").read_text())
    assert about["made"] == "The training of voice lab, with the setting of the best trial 0 of study 'lab'."
    assert about["figures"]["free_running_distance"] > 0
    assert 'smart-tuner say "Any sentence of yours." --voice lab' in ended.out
    assert str(voice / "voice.pt") in ended.out


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (["--frames", "5000"], 1000 + 5000),
        (["--minutes", "60"], 1000 + round((3600 - 20) * 0.9 * 100)),
        (["--hours", "1", "--fresh"], round((3600 - 20) * 0.9 * 100)),
    ],
)
def test_a_time_is_turned_into_frames_by_the_measured_speed(
    cli: Cli, lab: Lab, options: list[str], frames: int
) -> None:
    ended = cli("train", "--study", "lab", "--name", "mine", *options)
    assert ended.code == 0, ended.err
    trained = definition(lab, "mine-voice")
    assert trained["budget"]["frames"] == frames
    assert ("continue_from" in trained["fixed"]) == ("--fresh" not in options)
    assert "100 a second" in ended.out


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("fresh", [False, True])
def test_a_fine_tuning_goes_on_from_the_best_report_of_its_trial(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    base = str(lab.path / "base.pt")
    raw = {"preset": "voice", "warm_start": base, "corpus": {"source": "demo:en"}}
    monkeypatch.setattr(sources, "trial_config", lambda *_: TrainerConfig.from_mapping(raw))
    source = sources.of_trial(SmartTunerMain("lab.yaml"), None)
    spec = training_definition("mine", source, 5000, fresh=fresh)
    best = (lab.workspace / "runs" / "lab" / "trial-0000" / "checkpoints" / "best.pt").resolve()
    assert best.is_file()
    assert spec.fixed["warm_start"] == (base if fresh else str(best))
    assert "continue_from" not in spec.fixed
    assert spec.budget.frames == 5000


@pytest.mark.usefixtures("searched")
def test_a_stopped_training_is_continued_by_the_same_command(cli: Cli, lab: Lab) -> None:
    lab.order(any={"hold_at": 3, "at": 4, "act_once": ["killed"]})
    command = ("train", "--study", "lab", "--frames", "4000")
    run = lab.workspace / "runs" / "lab-voice" / "trial-0000"
    run.mkdir(parents=True)
    (run / "go").touch()
    first = cli(*command)
    assert first.code == 0, first.err  # killed once, retried, and finished
    assert "RETRIED" in first.out + first.err or "killed" in first.out + first.err
    again = cli(*command)
    assert again.code == 0
    assert "voice 'lab'" in again.out
    assert len(optuna.load_study(study_name="lab-voice", storage=lab.url).trials) == 1


@pytest.mark.usefixtures("searched")
def test_a_training_that_has_begun_keeps_what_it_was_asked_for(cli: Cli, lab: Lab) -> None:
    assert cli("train", "--study", "lab", "--frames", "4000").code == 0
    assert cli("train").code == 0  # the study that was used last is the training
    other = cli("train", "--study", "lab", "--frames", "9000")
    assert other.code == 2
    assert "voice 'lab' has its training already, asked for with frames 4000, not 9000" in other.err
    assert "smart-tuner delete --study lab-voice" in other.err


@pytest.mark.usefixtures("searched")
def test_a_voice_is_trained_further_under_another_name(cli: Cli, lab: Lab) -> None:
    assert cli("train", "--study", "lab", "--frames", "4000").code == 0
    longer = cli("train", "--study", "lab-voice", "--name", "longer", "--frames", "3000")
    assert longer.code == 0, longer.err
    trained = definition(lab, "longer-voice")
    assert trained["budget"]["frames"] == 1000 + 4000 + 3000
    assert Path(trained["fixed"]["continue_from"]).parts[-4:-2] == ("lab-voice", "trial-0000")


@pytest.mark.usefixtures("searched")
def test_a_trial_whose_state_is_gone_is_trained_anew(cli: Cli, lab: Lab) -> None:
    for name in ("last.pt", "previous.pt"):
        (lab.workspace / "runs" / "lab" / "trial-0001" / "checkpoints" / name).unlink(missing_ok=True)
    lab.order(any={})  # nothing prunes it
    ended = cli("train", "--study", "lab", "--trial", "1", "--frames", "2000")
    trained = definition(lab)
    assert trained["fixed"]["guided_attention.enabled"] is False
    assert "continue_from" not in trained["fixed"]
    assert trained["budget"]["frames"] == 2000
    assert ended.code == 3  # without guided attention the fake trainer never aligns
    assert "voice 'lab' cannot speak yet" in ended.err


def test_a_file_for_the_trainer_is_trained(cli: Cli, lab: Lab) -> None:
    (lab.path / "mine.yaml").write_text("{preset: tiny, batch: {size: 12}, corpus: {source: 'demo:en:50'}}")
    ended = cli("train", "--config", "mine.yaml", "--frames", "2000", "--set", "fixed.schedule.kind=constant")
    assert ended.code == 0, ended.err
    trained = definition(lab, "mine-voice")
    assert (trained["corpus"], trained["fixed"]["batch.size"]) == ("demo:en:50", 12)
    assert trained["fixed"]["schedule.kind"] == "constant"
    assert (lab.workspace / "voices" / "mine" / "voice.pt").exists()


@pytest.mark.usefixtures("searched")
def test_another_trial_of_the_same_study_is_another_request(cli: Cli, lab: Lab) -> None:
    lab.order(any={})
    cli("train", "--study", "lab", "--trial", "1", "--frames", "2000")
    other = cli("train", "--study", "lab", "--trial", "0", "--frames", "2000")
    assert other.code == 2
    assert "trial 1, not 0" in other.err


def test_a_search_whose_name_is_that_of_a_training_is_no_training(cli: Cli, lab: Lab) -> None:
    lab.define(name="my-voice")
    assert cli("optimize", "--study", "lab.yaml", "--jobs", "1", "--trials", "2").code == 0
    taken = cli("train", "--study", "my-voice", "--name", "my", "--frames", "2000")
    assert taken.code == 2
    assert "study 'my-voice', which is a search; give another --name" in taken.err
    ended = cli("train", "--study", "my-voice", "--frames", "2000")
    assert ended.code == 0, ended.err
    assert definition(lab, "my-voice-voice")["search"] == {}
    assert (lab.workspace / "voices" / "my-voice" / "voice.pt").exists()


@pytest.mark.usefixtures("searched")
def test_a_training_that_diverges_late_keeps_its_best_report(cli: Cli, lab: Lab) -> None:
    lab.order(any={"at": 30, "act": ["diverged"]})
    ended = cli("train", "--study", "lab", "--frames", "4000")
    assert "Its training has ended: early, " in ended.out
    assert "as ordered: diverged" in ended.out
    assert "the best report is kept" in ended.out
    assert (lab.workspace / "voices" / "lab" / "voice.pt").exists()


def test_a_voice_is_fine_tuned_on_a_corpus(cli: Cli, lab: Lab) -> None:
    (lab.path / "old.pt").touch()
    ended = cli("train", "--from", "old.pt", "--corpus", "demo:en:60:f3", "--frames", "2000")
    assert ended.code == 0, ended.err
    trained = definition(lab, "demo-en-60-f3-voice")
    assert (trained["preset"], trained["corpus"]) == ("voice", "demo:en:60:f3")
    assert trained["fixed"]["warm_start"] == str(lab.path / "old.pt")
    assert "schedule.kind" not in trained["fixed"]  # the preset has its own
    assert "continue_from" not in trained["fixed"]


REFUSED: list[tuple[list[str], str]] = [
    (["--from", "x.pt"], "give --corpus beside it"),
    (["--corpus", "demo:en"], "--from fine-tunes a voice"),
    (["--hours", "1", "--frames", "5"], "--hours, --minutes and --frames all say how long"),
    (["--config", "x.yaml", "--trial", "0"], "--config gives a setting by itself"),
    (["--study", "lab", "--trial", "9"], "study 'lab' has no trial 9; it has 2"),
    (["--study", "lap"], "holds no study 'lap'"),
    (["--study", "lab", "--set", "fixed.optimizer.lrr=1"], "optimizer.lr"),
    (["--config", "missing.yaml"], "missing.yaml"),
]


@pytest.mark.usefixtures("searched")
def test_what_cannot_be_trained_is_refused_before_anything_is_made(cli: Cli, lab: Lab) -> None:
    for options, message in REFUSED:  # one study for all: it takes seconds
        ended = cli("train", *options)
        assert ended.code == 2, options
        assert message in ended.err
        assert not (lab.workspace / "voices").exists()
        assert optuna.get_all_study_names(lab.url) == ["lab"]


@pytest.mark.usefixtures("searched")
def test_a_training_that_fails_says_why_and_how_to_begin_again(cli: Cli, lab: Lab) -> None:
    lab.order(any={"at": 1, "act": ["bad input"]})
    ended = cli("train", "--study", "lab", "--frames", "2000")
    assert ended.code == 1
    assert re.search(r"its training has ended without a voice: .*as ordered: bad input", ended.err)
    assert "smart-tuner delete --study lab-voice" in ended.err
