"""A full disk says how much is needed: before the work, and where it fills up meanwhile."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import spoken_corpus
from recordings import write_corpus
from trainer_process import call_main

from trainer.config import TrainerConfig
from trainer.data import features_writer, preparation
from trainer.data.check import cleaned
from trainer.data.demo import corpus
from trainer.data.demo.corpus import demo_corpus
from trainer.data.features import open_features
from trainer.data.space import DiskFull
from trainer.protocol import ExitCode

CLIPS, SECONDS = 40, 0.5
BYTES = CLIPS * 44 * 80 * 2  # frames of half a second, mel bins, float16


class Usage(NamedTuple):
    free: int


@pytest.fixture
def config(tmp_path: Path) -> TrainerConfig:
    source = write_corpus(tmp_path / "corpus", CLIPS, seconds=SECONDS)
    return TrainerConfig.from_mapping(
        {"corpus": {"source": str(source)}, "paths": {"cache": str(tmp_path / "cache")}, "device": {"name": "cpu"}}
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
    with pytest.raises(DiskFull, match=r"need about 1 MB more.* Start again to continue"):
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


def test_an_embedded_corpus_that_does_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 2**20)
    with pytest.raises(DiskFull, match=r"embedded corpus needs about 2 MB more in .*demo-en-20, where 1 MB are free"):
        demo_corpus("demo:en:20", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_embedded_corpus_says_what_it_needs_where_the_disk_fills_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(corpus, "_write", full)
    with pytest.raises(DiskFull, match="embedded corpus needs about 2 MB more in"):
        demo_corpus("demo:en:20", tmp_path)


@pytest.mark.parametrize("free", [0, 2**30])
def test_a_cleaned_copy_says_what_it_needs_before_the_work_and_where_the_disk_fills_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], free: int
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    source = spoken_corpus.write_corpus(tmp_path / "corpus", 4, {})
    (tmp_path / "config.json").write_text(json.dumps({"corpus": {"source": str(source)}}))
    with_free(monkeypatch, free)
    monkeypatch.setattr(cleaned, "_write_recordings", full)
    arguments = (f"--out={tmp_path / 'report'}", f"--fix={tmp_path / 'copy'}", str(tmp_path / "config.json"))
    assert call_main("corpus-check", *arguments) == ExitCode.NO_SPACE
    assert f"The cleaned copy needs about 1 MB more in {tmp_path / 'copy'}, where" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


def test_a_small_disk_is_refused_with_a_figure(tmp_path: Path, disk: Callable[[int], Path]) -> None:
    source = write_corpus(tmp_path / "corpus", CLIPS, seconds=SECONDS)
    paths = {"cache": str(disk(2**18))}
    with pytest.raises(DiskFull, match="where 0 MB are free"):
        open_features(TrainerConfig.from_mapping({"corpus": {"source": str(source)}, "paths": paths}))
