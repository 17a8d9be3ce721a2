"""Clips that are outliers are listed with their recordings; they are left out only where asked."""

import csv
import errno
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from recordings import write_corpus
from short_run import Run, small_config

from trainer import suspects as suspects_module
from trainer import updates
from trainer.config import TrainerConfig
from trainer.data.features import Features, open_features
from trainer.errors import CorpusError
from trainer.protocol import ExitCode, RunDir
from trainer.suspects import COLUMNS, EPOCHS, WORST, ClipFigures, Suspect, SuspectsFile, loss_of_repeating, outliers

CPU = torch.device("cpu")


class Epochs:
    """Epochs of all training clips, with relative losses around 5 and alignments around 0.9."""

    def __init__(self, features: Features) -> None:
        self._clips = features.train
        self._usual = torch.from_numpy(loss_of_repeating(features, 4))
        self.figures = ClipFigures(features, 4, CPU)
        self._rng = np.random.default_rng(1)

    def one(self, loss: Mapping[int, float] | None = None, alignment: Mapping[int, float] | None = None) -> list[int]:
        """loss, alignment: of clips that are not as the others. Returns the outliers."""
        return [each.clip for each in self.suspects(1, loss, alignment)]

    def suspects(
        self, count: int, loss: Mapping[int, float] | None = None, alignment: Mapping[int, float] | None = None
    ) -> list[Suspect]:
        """After `count` epochs."""
        found: list[Suspect] = []
        for _ in range(count):
            for clip in self._clips:
                losses = (loss or {}).get(clip, 5 + self._rng.normal(0, 0.2)) * self._usual[clip]
                alignments = torch.tensor((alignment or {}).get(clip, 0.9 + self._rng.normal(0, 0.02)))
                self.figures.add((clip,), losses[None], alignments[None])
            found = self.figures.end_epoch()
        return found


def test_clips_that_are_like_the_others_are_not_listed(features: Features) -> None:
    assert Epochs(features).suspects(5) == []


@pytest.mark.parametrize(
    ("loss", "alignment"), [({3: 9.0}, {}), ({}, {3: 0.2}), ({3: 9.0}, {3: 0.2}), ({3: math.inf}, {})]
)
def test_an_outlier_in_enough_epochs_is_listed(
    features: Features, loss: dict[int, float], alignment: dict[int, float]
) -> None:
    assert Epochs(features).suspects(EPOCHS - 1, loss, alignment) == []
    (found,) = Epochs(features).suspects(EPOCHS, loss, alignment)
    assert (found.clip, found.epochs) == (3, EPOCHS)
    assert found.loss == pytest.approx(loss.get(3, 5.0), abs=1)
    assert found.others_loss == pytest.approx(5, abs=0.2)
    assert found.others_alignment == pytest.approx(0.9, abs=0.05)


def test_the_worst_clip_comes_first(features: Features) -> None:
    found = Epochs(features).suspects(EPOCHS, {3: 9.0, 20: 12.0, 30: 10.0})
    assert [each.clip for each in found] == [20, 30, 3]


def test_a_clip_that_returns_to_the_others_is_no_longer_counted(features: Features) -> None:
    epochs = Epochs(features)
    epochs.suspects(EPOCHS - 1, {3: 9.0})
    assert epochs.one() == []
    assert epochs.one({3: 9.0}) == []


def test_a_sentence_that_changes_much_may_have_a_high_loss(features: Features) -> None:
    """The loss of repeating the step before is as high."""
    usual = loss_of_repeating(features, 4)
    lively = features.mels.copy()
    lively[features.offsets[7] : features.offsets[8]] *= 3
    ratio = loss_of_repeating(replace(features, mels=lively), 4) / usual
    assert ratio[7] == pytest.approx(9, rel=0.01)
    assert np.delete(ratio, 7)[2:] == pytest.approx(1)
    assert np.isnan(usual[list(features.validation)]).all()


@pytest.mark.parametrize(
    ("loss", "alignment", "is_outlier"),
    [
        ([1.0] * 20, [0.9] * 20, False),
        ([*[1.0] * 20, 1.1], [0.9] * 21, False),  # alike but for little
        ([*[1.0] * 20, 2.0], [0.9] * 21, True),
        ([1.0] * 21, [*[0.9] * 20, 0.7], False),
        ([1.0] * 21, [*[0.9] * 20, 0.3], True),
        ([1.0] * 21, [*[0.3] * 20, 0.0], False),  # nothing aligns yet
        ([*[1.0] * 20, 2.0], [0.3] * 21, False),
        ([*[1.0] * 20, 2.0], [math.nan] * 21, False),
        ([1.0] * 21, [*[0.9] * 20, math.nan], False),  # too short a text
        ([*[1.0] * 20, math.nan], [0.9] * 21, False),
        ([math.nan] * 21, [math.nan] * 21, False),  # an epoch that was not seen
        ([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0], [0.9] * 8, False),  # all differ
    ],
)
def test_what_is_an_outlier(loss: Sequence[float], alignment: Sequence[float], is_outlier: bool) -> None:
    found = outliers(np.array(loss), np.array(alignment))
    assert found.tolist() == [False] * (len(loss) - 1) + [is_outlier]


def test_figures_survive_being_stored(features: Features) -> None:
    epochs, copy = Epochs(features), Epochs(features)
    epochs.suspects(EPOCHS - 1, {3: 9.0})
    epochs.figures.add((5, 6), torch.tensor([5.0, 6.0]), torch.tensor([0.5, 0.6]))
    copy.figures.restore(epochs.figures.state())
    assert repr(copy.figures.state()) == repr(epochs.figures.state())
    assert copy.one({3: 9.0}) == [3]


def _config(folder: Path, clips: int, **changes: Any) -> TrainerConfig:
    source = folder / "corpus"
    if not source.exists():
        write_corpus(source, clips)
    corpus = {"source": str(source), "validation_share": 0.1, **changes.pop("corpus", {})}
    return small_config(
        folder / "run", corpus=corpus, paths={"cache": str(folder / "cache")}, audio={"n_mels": 8}, **changes
    )


def _suspects(features: Features, count: int) -> list[Suspect]:
    return [Suspect(clip, 9.0, 5.0, 0.25, 0.9, 3) for clip in features.train[:count]]


def _rows(run: RunDir) -> list[dict[str, str]]:
    return list(csv.DictReader(run.suspects.read_text(encoding="utf-8").splitlines()))


def test_the_list_names_recordings_and_copies_the_worst(tmp_path: Path) -> None:
    config = _config(tmp_path, 24)
    features = open_features(config)
    run = RunDir(Path(config.paths.run))
    run.create()
    suspects = _suspects(features, WORST + 3)
    SuspectsFile(config, features, run).write(suspects)
    rows = _rows(run)
    assert tuple(rows[0]) == COLUMNS
    assert [row["id"] for row in rows] == [features.id(each.clip) for each in suspects]
    assert rows[0]["text"] == features.text(suspects[0].clip)
    assert [float(rows[0][name]) for name in COLUMNS[2:6]] == [9.0, 5.0, 0.25, 0.9]
    assert all(Path(row["recording"]).is_file() for row in rows)
    copies = sorted((run.path / "suspects").iterdir())
    assert len(copies) == WORST
    assert copies[0].name == f"01-{rows[0]['id']}.wav"
    assert copies[0].read_bytes() == Path(rows[0]["recording"]).read_bytes()


def test_a_list_that_gets_empty_is_written_and_one_that_always_was_is_not(tmp_path: Path) -> None:
    config = _config(tmp_path, 12)
    features = open_features(config)
    run = RunDir(Path(config.paths.run))
    run.create()
    file = SuspectsFile(config, features, run)
    file.write([])
    assert not run.suspects.exists()
    file.write(_suspects(features, 2))
    file.write([])
    assert run.suspects.read_text().splitlines() == [",".join(COLUMNS)]
    assert not (run.path / "suspects").exists()


def _file(folder: Path, clips: int) -> tuple[SuspectsFile, Features, RunDir]:
    config = _config(folder, clips)
    features = open_features(config)
    run = RunDir(Path(config.paths.run))
    run.create()
    return SuspectsFile(config, features, run), features, run


def test_copies_are_named_by_the_present_order(tmp_path: Path) -> None:
    file, features, run = _file(tmp_path, 12)
    suspects = _suspects(features, 3)
    for listed in (suspects, suspects[::-1]):
        file.write(listed)
        names = [f"{i:02d}-{features.id(each.clip)}.wav" for i, each in enumerate(listed, start=1)]
        assert sorted(each.name for each in (run.path / "suspects").iterdir()) == names


def test_a_recording_that_is_gone_is_not_copied(tmp_path: Path) -> None:
    file, features, run = _file(tmp_path, 12)
    file.write(_suspects(features, 1))
    Path(_rows(run)[0]["recording"]).unlink()
    file.write(_suspects(features, 2))
    assert [each.name for each in (run.path / "suspects").iterdir()] == [f"02-{features.id(features.train[1])}.wav"]


@pytest.mark.parametrize("broken", ["write_atomically", "copyfile"])
def test_a_full_disk_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(suspects_module if broken == "write_atomically" else shutil, broken, fail)
    file, features, _ = _file(tmp_path, 12)
    file.write(_suspects(features, 2))
    assert "the list of suspect clips is not complete: [Errno 28] No space left on device" in caplog.text


def test_a_list_is_logged_when_many_of_its_clips_are_new(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "trainer.suspects")
    file, features, run = _file(tmp_path, 24)
    suspects = _suspects(features, 12)
    logged = []
    for count in (8, 8, 7, 8, 10, 11, 12):
        file.write(suspects[:count])
        logged.append(sum(str(run.suspects) in record.getMessage() for record in caplog.records))
    assert logged == [1, 1, 1, 1, 1, 2, 2]


def test_a_run_does_not_leave_out_what_it_lists_itself(tmp_path: Path) -> None:
    file, features, run = _file(tmp_path, 12)
    file.write(_suspects(features, 1))
    with pytest.raises(CorpusError, match=r"is written by this run itself, .*; copy the file, and name the copy"):
        open_features(_config(tmp_path, 12, corpus={"leave_out": str(run.suspects)}))


def test_without_the_corpus_the_list_has_no_recordings(tmp_path: Path) -> None:
    config = _config(tmp_path, 12)
    features = open_features(config)
    run = RunDir(Path(config.paths.run))
    run.create()
    (tmp_path / "corpus" / "metadata.csv").unlink()
    SuspectsFile(config, features, run).write(_suspects(features, 2))
    assert [row["recording"] for row in _rows(run)] == ["", ""]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_run_that_aligns_lists_a_clip_that_is_not_like_the_others(
    tmp_path: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constant sound far from that of all others: repeating the step before would be right."""

    def aligned(attention: torch.Tensor, *_: object) -> SimpleNamespace:
        return SimpleNamespace(alignment=torch.full((len(attention),), 0.9))

    monkeypatch.setattr(updates, "alignment_score", aligned)
    odd = features.mels.copy()
    clip = features.train[7]
    rows = slice(int(features.offsets[clip]), int(features.offsets[clip + 1]))
    odd[rows] = 0.02 * odd[rows] + 3
    changes = {"budget": {"frames": 8000, "reports": 2}, "validation": {"free_running_utterances": 0}}
    config = small_config(tmp_path, corrections={"kind": "all"}, **changes)
    run = Run(config, replace(features, mels=odd))
    (row,) = _rows(run.dir)
    assert row["id"] == features.id(clip)
    assert float(row["loss"]) > 3 * float(row["others_loss"])


@pytest.mark.parametrize("table", [True, False])
def test_clips_are_left_out_by_a_table_or_a_list(tmp_path: Path, table: bool) -> None:
    config = _config(tmp_path, 12)
    features = open_features(config)
    names = [features.id(clip) for clip in features.train[:2]]
    lines = ["loss,id", *(f"1,{name}" for name in names)] if table else [*names, ""]
    (tmp_path / "out.csv").write_text("\n".join(lines))
    asked = _config(tmp_path, 12, corpus={"leave_out": str(tmp_path / "out.csv")})
    fewer = open_features(asked)
    assert list(fewer.train) == list(features.train)[2:]
    assert list(fewer.validation) == list(features.validation)
    assert fewer.fingerprint != features.fingerprint
    assert Run(asked, fewer).code is ExitCode.FINISHED
    with pytest.raises(CorpusError, match="the corpus has changed"):
        Run(config, features)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("id\nnobody", "1 of its ids are no clips that are trained on: nobody"),
        ("VALIDATION", "clips for validation stay"),
        ("ALL", "leaves no clip to train on"),
    ],
)
def test_a_faulty_list_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    features = open_features(_config(tmp_path, 12))
    known = {"VALIDATION": features.validation, "ALL": features.train}
    path = tmp_path / "out.csv"
    if content is not None:
        path.write_text("\n".join(map(features.id, known[content])) if content in known else content)
    with pytest.raises(CorpusError, match=r"`corpus\.leave_out`") as refused:
        open_features(_config(tmp_path, 12, corpus={"leave_out": str(path)}))
    assert message in str(refused.value)
