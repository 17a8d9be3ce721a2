"""Clips that stay apart from the others are listed with their recordings; they are left out only where asked."""

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recordings import write_corpus
from short_run import Run, small_config

from trainer.config import TrainerConfig
from trainer.data.features import Features, open_features
from trainer.errors import CorpusError
from trainer.protocol import ExitCode, RunDir
from trainer.suspects import COLUMNS, EPOCHS, WORST, ClipFigures, Suspect, SuspectsFile, stay_apart

CPU = torch.device("cpu")
CLIPS = 40


def epoch(figures: ClipFigures, loss: dict[int, float], alignment: dict[int, float], seed: int = 0) -> list[Suspect]:
    """All clips in batches of eight, with losses around 5 and alignments around 0.9, but for those given."""
    rng = np.random.default_rng(seed)
    losses = torch.from_numpy(5 + rng.normal(0, 0.2, CLIPS))
    alignments = torch.from_numpy(0.9 + rng.normal(0, 0.02, CLIPS))
    for clip, value in loss.items():
        losses[clip] = value
    for clip, value in alignment.items():
        alignments[clip] = value
    for start in range(0, CLIPS, 8):
        at = tuple(range(start, start + 8))
        figures.add(at, losses[start : start + 8], alignments[start : start + 8])
    return figures.end_epoch()


def epochs(count: int, loss: dict[int, float], alignment: dict[int, float]) -> list[Suspect]:
    figures = ClipFigures(CLIPS, CPU)
    found: list[Suspect] = []
    for number in range(count):
        found = epoch(figures, loss, alignment, number)
    return found


def test_clips_that_are_like_the_others_are_not_listed() -> None:
    assert epochs(5, {}, {}) == []


@pytest.mark.parametrize(
    ("loss", "alignment"), [({3: 9.0}, {}), ({}, {3: 0.2}), ({3: 9.0}, {3: 0.2}), ({3: math.inf}, {})]
)
def test_a_clip_apart_in_enough_epochs_is_listed(loss: dict[int, float], alignment: dict[int, float]) -> None:
    assert epochs(EPOCHS - 1, loss, alignment) == []
    (found,) = epochs(EPOCHS, loss, alignment)
    assert (found.clip, found.epochs) == (3, EPOCHS)
    assert found.loss == pytest.approx(loss.get(3, 5.0), abs=1)
    assert found.others_loss == pytest.approx(5, abs=0.2)
    assert found.others_alignment == pytest.approx(0.9, abs=0.05)


def test_the_worst_clip_comes_first() -> None:
    assert [each.clip for each in epochs(EPOCHS, {3: 9.0, 20: 12.0, 30: 10.0}, {})] == [20, 30, 3]


def test_a_clip_that_returns_to_the_others_is_no_longer_counted() -> None:
    figures = ClipFigures(CLIPS, CPU)
    for number in range(EPOCHS - 1):
        epoch(figures, {3: 9.0}, {}, number)
    assert epoch(figures, {}, {}) == []
    assert epoch(figures, {3: 9.0}, {}) == []


@pytest.mark.parametrize(
    ("loss", "alignment", "apart"),
    [
        ([1.0] * 20, [0.9] * 20, False),
        ([*[1.0] * 20, 1.1], [0.9] * 21, False),  # alike but for little
        ([*[1.0] * 20, 2.0], [0.9] * 21, True),
        ([1.0] * 21, [*[0.9] * 20, 0.7], False),
        ([1.0] * 21, [*[0.9] * 20, 0.3], True),
        ([1.0] * 21, [*[0.3] * 20, 0.0], False),  # nothing aligns yet
        ([1.0] * 21, [*[0.9] * 20, math.nan], False),  # too short a text
        ([*[1.0] * 20, math.nan], [0.9] * 21, False),
        ([math.nan] * 21, [math.nan] * 21, False),  # an epoch that was not seen
        ([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0], [0.9] * 8, False),  # all differ
    ],
)
def test_what_is_apart(loss: Sequence[float], alignment: Sequence[float], apart: bool) -> None:
    found = stay_apart(np.array(loss), np.array(alignment))
    assert found.tolist() == [False] * (len(loss) - 1) + [apart]


def test_figures_survive_being_stored() -> None:
    figures, copy = ClipFigures(CLIPS, CPU), ClipFigures(CLIPS, CPU)
    for number in range(EPOCHS - 1):
        epoch(figures, {3: 9.0}, {}, number)
    figures.add((1, 2), torch.tensor([5.0, 6.0]), torch.tensor([0.5, 0.6]))
    copy.restore(figures.state())
    assert repr(copy.state()) == repr(figures.state())
    assert [each.clip for each in epoch(copy, {3: 9.0}, {})] == [3]


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


def test_without_the_corpus_the_list_has_no_recordings(tmp_path: Path) -> None:
    config = _config(tmp_path, 12)
    features = open_features(config)
    run = RunDir(Path(config.paths.run))
    run.create()
    (tmp_path / "corpus" / "metadata.csv").unlink()
    SuspectsFile(config, features, run).write(_suspects(features, 2))
    assert [row["recording"] for row in _rows(run)] == ["", ""]


@pytest.mark.usefixtures("one_thread")
def test_a_run_lists_a_clip_whose_recording_is_noise(tmp_path: Path, features: Features) -> None:
    loud = features.mels.copy()
    spoiled = features.train[7]
    loud[features.offsets[spoiled] : features.offsets[spoiled + 1]] *= 8
    broken = replace(features, mels=loud)
    config = small_config(tmp_path / "first", corrections={"kind": "all"}, budget={"frames": 8000, "reports": 2})
    first = Run(config, broken)
    rows = _rows(first.dir)
    assert [row["id"] for row in rows] == [features.id(spoiled)]
    assert float(rows[0]["loss"]) > 3 * float(rows[0]["others_loss"])


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
