"""Features that a configuration names by `paths.features`: used without the corpus, if they were made as it says."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from trainer_process import call_main, configure

from trainer.config import TrainerConfig
from trainer.data.features import open_features
from trainer.data.settings import SETTINGS
from trainer.errors import ConfigError
from trainer.protocol import EventKind, ExitCode, RunDir, all_events


def locate(run: RunDir, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert call_main("--config", str(run.config), "--locate") == ExitCode.FINISHED
    return json.loads(capsys.readouterr().out)["features"]


@pytest.fixture
def brought(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The features of the small corpus, copied to a folder of another name."""
    run = configure(tmp_path / "home", cache)
    assert call_main("--config", str(run.config), "--prepare") == ExitCode.FINISHED
    return Path(shutil.copytree(locate(run, capsys), tmp_path / "brought"))


def test_a_run_trains_on_them_while_the_corpus_is_not_there(brought: Path, tmp_path: Path) -> None:
    gone = {"source": str(tmp_path / "no corpus"), "validation_share": 0.1}
    paths = {"cache": str(tmp_path / "empty"), "features": str(brought)}
    run = configure(tmp_path, tmp_path, corpus=gone, paths=paths, budget={"frames": 2000, "reports": 1})
    assert call_main("--config", str(run.config)) == ExitCode.FINISHED
    assert all_events(run.events)[-1].kind is EventKind.FINISHED
    assert not list((tmp_path / "empty").iterdir())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio": {"hop_length": 200}}, "another `audio.hop_length`, 256 there and 200 here; prepare"),
        ({"corpus": {"max_seconds": 3.0}}, "another `corpus.max_seconds`, 12.0 there and 3.0 here"),
        ({"corpus": {"language": "ru"}}, "another `corpus.language`, 'auto' there and 'ru' here"),
        ({"paths": {"features": "nowhere"}}, r"`paths.features`: nowhere: its settings.json cannot be read .*--locate"),
    ],
)
def test_features_that_were_made_otherwise_are_refused(
    brought: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    run = configure(tmp_path, tmp_path, **{"paths": {"features": str(brought)}, **changes})
    with pytest.raises(ConfigError, match=words):
        open_features(TrainerConfig.load(run.config))


def test_settings_that_are_no_object_are_refused(brought: Path, tmp_path: Path) -> None:
    (brought / SETTINGS).write_text("[]")
    run = configure(tmp_path, tmp_path, paths={"features": str(brought)})
    with pytest.raises(ConfigError, match="holds no JSON object"):
        open_features(TrainerConfig.load(run.config))


def test_what_is_not_computed_is_nowhere_and_what_an_earlier_version_made_gets_its_settings(
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
