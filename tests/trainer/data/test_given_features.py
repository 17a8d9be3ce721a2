"""Features that a configuration names in `paths.features`: used without the corpus, where their settings match."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from trainer_process import call_main, configure

from trainer.config import TrainerConfig
from trainer.data.features import open_features
from trainer.data.features_settings import SETTINGS
from trainer.errors import ConfigError
from trainer.protocol import EventKind, ExitCode, RunDir, all_events


def locate(run: RunDir, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert call_main("--config", str(run.config), "--locate") == ExitCode.FINISHED
    located = json.loads(capsys.readouterr().out)
    if located["features"]:
        assert located["settings"] == json.loads((Path(located["features"]) / SETTINGS).read_text())
    return located["features"]


@pytest.fixture
def copied(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The features of the small corpus, copied to a folder of another name."""
    run = configure(tmp_path / "home", cache)
    assert call_main("--config", str(run.config), "--prepare") == ExitCode.FINISHED
    return Path(shutil.copytree(locate(run, capsys), tmp_path / "copied"))


@pytest.mark.slow
def test_a_run_trains_on_them_without_the_corpus(copied: Path, tmp_path: Path) -> None:
    gone = {"source": str(tmp_path / "no corpus"), "validation_share": 0.1}
    paths = {"cache": str(tmp_path / "empty"), "features": str(copied)}
    run = configure(tmp_path, tmp_path, corpus=gone, paths=paths, budget={"frames": 2000, "reports": 1})
    assert call_main("--config", str(run.config)) == ExitCode.FINISHED
    assert all_events(run.events)[-1].kind is EventKind.FINISHED
    assert not list((tmp_path / "empty").iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": {"hop_length": 200}}, "another `audio.hop_length`, 256 there and 200 here; prepare"),
        ({"corpus": {"max_seconds": 3.0}}, "another `corpus.max_seconds`, 12.0 there and 3.0 here"),
        ({"text": {"language": "ru"}}, "another `text.language`, 'auto' there and 'ru' here"),
        ({"paths": {"features": "nowhere"}}, r"`paths.features`: nowhere: its settings.json cannot be read .*--locate"),
    ],
)
def test_features_made_with_other_settings_are_refused(
    copied: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    run = configure(tmp_path, tmp_path, **{"paths": {"features": str(copied)}, **changes})
    with pytest.raises(ConfigError, match=message):
        open_features(TrainerConfig.load(run.config))


def test_a_settings_file_that_is_no_object_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / SETTINGS).write_text("[]")
    run = configure(tmp_path, tmp_path, paths={"features": str(copied)})
    with pytest.raises(ConfigError, match="holds no JSON object"):
        open_features(TrainerConfig.load(run.config))


def test_locate_prints_null_without_features_and_adds_settings_to_those_of_an_earlier_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = configure(tmp_path, tmp_path / "cache", corpus={"source": "demo:en:2", "validation_share": 0.5})
    assert locate(run, capsys) is None
    assert call_main("--config", str(run.config), "--prepare") == ExitCode.FINISHED
    folder = Path(locate(run, capsys))
    written = (folder / SETTINGS).read_text()
    (folder / SETTINGS).unlink()
    assert Path(locate(run, capsys)) == folder
    assert (folder / SETTINGS).read_text() == written
