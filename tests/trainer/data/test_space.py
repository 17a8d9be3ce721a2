"""A full disk says how much is needed: before the work, and where it fills up meanwhile."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from recordings import write_corpus
from trainer_process import call_main

from trainer.config import TrainerConfig
from trainer.data import features_writer, preparation
from trainer.data.features import open_features
from trainer.data.space import DiskFull
from trainer.protocol import ExitCode

CLIPS, SECONDS = 40, 0.5
BYTES = CLIPS * 44 * 80 * 2  # frames of half a second, mel bins, float16


class Usage(NamedTuple):
    free: int


@pytest.fixture
def config(tmp_path: Path) -> TrainerConfig:
    corpus = write_corpus(tmp_path / "corpus", CLIPS, seconds=SECONDS)
    return TrainerConfig.from_mapping(
        {"corpus": {"source": str(corpus)}, "paths": {"cache": str(tmp_path / "cache")}, "device": {"name": "cpu"}}
    )


def with_free(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(int(count)))


def test_too_little_space_is_reported_before_anything_is_computed(
    config: TrainerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, BYTES)  # the clips of one shard are stored twice for a moment
    with pytest.raises(DiskFull, match=r"need about 1 MB more in .*where 0 MB are free.*cache prune"):
        open_features(config, lambda *report: pytest.fail("computed"))
    with_free(monkeypatch, 2.2 * BYTES)
    assert len(open_features(config)) == CLIPS


def test_the_trainer_ends_with_the_exit_code_of_a_full_disk(
    config: TrainerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(config.to_json())
    with_free(monkeypatch, 0)
    assert call_main("--config", str(tmp_path / "config.json"), "--prepare") == ExitCode.NO_SPACE
    assert "MB more in" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_says_what_the_rest_needs(
    config: TrainerConfig, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    append = features_writer._append

    def full(path: Path, array: Any) -> None:
        raise OSError(number, "no space")

    monkeypatch.setattr(features_writer, "_append", full)
    with pytest.raises(DiskFull, match=r"need about 1 MB more.* Finished work is kept"):
        open_features(config)
    monkeypatch.setattr(features_writer, "_append", append)
    monkeypatch.setattr(preparation, "_compute_missing", lambda *given: None)  # all is computed already
    assert len(open_features(config)) == CLIPS


def test_another_fault_of_the_disk_is_no_lack_of_space(config: TrainerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, array: Any) -> None:
        raise OSError(errno.EIO, "a broken disk")

    monkeypatch.setattr(features_writer, "_append", broken)
    with pytest.raises(OSError, match="a broken disk"):
        open_features(config)


def test_a_small_disk_is_refused_with_a_figure(tmp_path: Path, disk: Callable[[int], Path]) -> None:
    corpus = write_corpus(tmp_path / "corpus", CLIPS, seconds=SECONDS)
    paths = {"cache": str(disk(2**18))}
    with pytest.raises(DiskFull, match="where 0 MB are free"):
        open_features(TrainerConfig.from_mapping({"corpus": {"source": str(corpus)}, "paths": paths}))
