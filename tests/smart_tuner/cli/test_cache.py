"""`smart-tuner cache`: shows what each study uses, and removes nothing else without being asked."""

import io
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Cli, call_command
from finished_study import FinishedStudy
from recordings import write_corpus

from smart_tuner.cache import DAY, CacheEntry, unused
from smart_tuner.terminal.cache_table import size
from trainer.config import TrainerConfig
from trainer.data.features import open_features


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return partial(call_command, capsys)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FinishedStudy:
    """A study of a corpus, and a cache with the features of it and of another one."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("used", "other"):
        write_corpus(folder / name, 3, name)
    made = FinishedStudy(folder, {"corpus": str(folder / "used")})
    for name in ("used", "other"):
        paths = {"cache": str(made.workspace / "cache")}
        open_features(TrainerConfig.from_mapping({"corpus": {"source": str(folder / name)}, "paths": paths}))
    return made


def listed(cli: Cli, made: FinishedStudy) -> dict[str, Any]:
    """The entries by the names of their corpora."""
    ended = cli("cache", "ls", "--format", "json", "--workspace", str(made.workspace))
    assert ended.code == 0, ended.err
    return {Path(entry["corpus"]).name: entry for entry in json.loads(ended.out)}


@pytest.mark.slow  # six processes of the trainer
def test_what_a_study_uses_is_shown_and_kept(cli: Cli, made: FinishedStudy) -> None:
    assert {name: entry["studies"] for name, entry in listed(cli, made).items()} == {
        "used": [made.spec.name],
        "other": [],
    }
    table = cli("cache", "ls", "--workspace", str(made.workspace))
    assert f"{made.path}/other" in table.out.replace("\n", "")
    assert "2 entries" in table.out
    prune = partial(cli, "cache", "prune", "--workspace", str(made.workspace))
    assert "Nothing was removed" in prune("--dry-run").out
    assert "nothing to remove" in prune("--older-than", "1", "--yes").out
    assert len(listed(cli, made)) == 2
    ended = prune("--yes")
    assert (ended.code, ended.err) == (0, "")
    assert "Removed 1 of them" in ended.out
    assert set(listed(cli, made)) == {"used"}


def test_it_asks_and_a_no_removes_nothing(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "workspace" / "cache" / "corpora" / "demo-en-2"
    folder.mkdir(parents=True)
    (folder / "metadata.csv").write_text("x")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    ended = cli("cache", "prune")
    assert ended.code == 1
    assert "Remove these?" in ended.out
    assert (folder / "metadata.csv").exists()
    assert "Removed 1 of them, 1 B." in cli("cache", "prune", "-y").out
    assert not folder.exists()


def test_an_empty_cache_is_said_to_be_empty(cli: Cli, tmp_path: Path) -> None:
    assert "holds nothing" in cli("cache", "ls").out
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_read_lets_nothing_be_removed(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "workspace" / "cache" / "corpora" / "demo-en-2"
    folder.mkdir(parents=True)
    (tmp_path / "workspace" / "studies.db").write_text("no database")
    assert cli("cache", "prune", "--yes").code == 2
    assert folder.is_dir()


def entry(used: float = 0.0, studies: tuple[str, ...] = (), in_work: bool = False) -> CacheEntry:
    return CacheEntry("features/x", 1, used, "", studies, in_work)


def test_only_what_is_old_unused_and_finished_may_go() -> None:
    now = 10 * DAY
    old = entry(used=2 * DAY)
    assert unused([old, entry(7 * DAY), entry(studies=("a",)), entry(in_work=True)], 5.0, now) == [old]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (33.8e6, "33.8 MB"), (2e12, "2 TB")]
)
def test_sizes_are_short(count: float, text: str) -> None:
    assert size(count) == text
