"""A run that was stopped, killed, or has a torn checkpoint resumes to the same numbers."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from random_features import random_features
from short_run import Run, figures_of, same, small_config, stop_after

from trainer import checkpoint_files
from trainer.data.features import Features
from trainer.errors import ConfigError, CorpusError
from trainer.loop import train
from trainer.protocol import EventKind, ExitCode, RunDir, all_events
from trainer.resuming import open_state
from trainer.text import symbols_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("calls", [0, 3, 14])
def test_a_stopped_run_resumes_to_the_same_numbers(
    finished: Run, tmp_path: Path, features: Features, calls: int
) -> None:
    config = small_config(tmp_path)
    before = Run(config, features, stop_after(calls, "received SIGTERM"))
    assert before.code is ExitCode.STOPPED
    assert before.events[-1].kind is EventKind.STOPPED
    assert before.events[-1].data == {"reason": "received SIGTERM", "kernels": "torch"}
    assert before.events[-1].update == calls
    after = Run(config, features)
    assert after.code is ExitCode.FINISHED
    assert after.events[0].data["resumed"] is True
    assert (after.events[0].frames, after.events[0].update) == (before.events[-1].frames, calls)
    assert figures_of([*before.events, *after.events]) == figures_of(finished.events)
    for key in ("model", "optimizer", "rng", "best"):
        assert same(after.last[key], finished.last[key]), key
    assert same(
        checkpoint_files.load(after.dir.best_checkpoint)["model"],
        checkpoint_files.load(finished.dir.best_checkpoint)["model"],
    )


def test_a_killed_run_resumes_from_its_last_checkpoint(finished: Run, tmp_path: Path, features: Features) -> None:
    config = small_config(tmp_path)
    calls = iter(range(10))

    def die() -> None:
        if next(calls) == 9:
            raise KeyboardInterrupt  # ends without saving

    with pytest.raises(KeyboardInterrupt):
        Run(config, features, die)
    events = all_events(RunDir(tmp_path).events)
    validation = next(event for event in events if event.kind is EventKind.VALIDATION)
    assert events[-1].update == 9 > validation.update
    after = Run(config, features)
    assert (after.events[0].frames, after.events[0].update) == (validation.frames, validation.update)
    expected = [event for event in finished.events if event.update > validation.update]
    assert figures_of(after.events) == figures_of(expected)


def test_checkpoints_are_saved_by_the_clock_and_have_events(tmp_path: Path, features: Features) -> None:
    run = Run(small_config(tmp_path, budget={"frames": 1000}, logging={"checkpoint_every_seconds": 0}), features)
    saved = [event for event in run.of(EventKind.CHECKPOINT) if not event.data["best"]]
    assert [event.update for event in saved] == [event.update for event in run.of(EventKind.PROGRESS)]
    assert {event.data["path"] for event in saved} == {"checkpoints/last.pt"}
    rarely = Run(small_config(tmp_path / "rarely", budget={"frames": 1000}), features)
    validated = {event.update for event in rarely.of(EventKind.VALIDATION)}
    assert {event.update for event in rarely.of(EventKind.CHECKPOINT)} == validated


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_an_unreadable_checkpoint_is_renamed_and_training_starts_again(
    finished: Run, tmp_path: Path, features: Features, content: bytes | None
) -> None:
    config = small_config(tmp_path, budget={"frames": 1000, "reports": 1})
    last = RunDir(tmp_path).last_checkpoint
    last.parent.mkdir()
    whole = finished.dir.last_checkpoint.read_bytes()
    torn = whole[: len(whole) // 2] if content is None else content
    last.write_bytes(torn)
    run = Run(config, features)
    assert run.code is ExitCode.FINISHED
    assert (run.events[0].data["resumed"], run.events[0].update) == (False, 0)
    assert last.with_suffix(".unreadable").read_bytes() == torn
    assert run.last["progress"]["frames"] >= 1000


@pytest.mark.parametrize("torn", [["last"], ["last", "previous"], ["previous"]])
def test_a_torn_checkpoint_is_replaced_by_the_one_before(
    finished: Run, tmp_path: Path, features: Features, torn: list[str]
) -> None:
    """The numbers are the same; the updates after it are trained again."""
    config = small_config(tmp_path)
    Run(config, features, stop_after(20))
    run = RunDir(tmp_path)
    states = {path: path.read_bytes() for path in (run.last_checkpoint, run.previous_checkpoint)}
    updates = [checkpoint_files.load(path)["progress"]["update"] for path in states]
    assert updates[0] == 20 > updates[1] > 0
    for path, whole in states.items():
        if path.stem in torn:
            path.write_bytes(whole[: len(whole) // 2])
    after = Run(config, features)
    start = 0 if len(torn) == 2 else updates["last" in torn]
    assert (after.events[0].data["resumed"], after.events[0].update) == (start > 0, start)
    assert after.code is ExitCode.FINISHED
    expected = [event for event in finished.events if event.update > start]
    assert figures_of(after.events) == figures_of(expected)
    assert same(after.last["model"], finished.last["model"])
    read = torn if "last" in torn else []  # previous.pt is read only where last.pt is torn
    assert {path.stem for path in run.last_checkpoint.parent.glob("*.unreadable")} == set(read)
    before = checkpoint_files.load(run.previous_checkpoint)["progress"]["update"]
    assert before < after.last["progress"]["update"]


def test_a_checkpoint_without_a_model_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint_files.save(path, {"progress": {}})
    with pytest.raises(checkpoint_files.CheckpointError, match="holds no model"):
        checkpoint_files.load(path)
    with pytest.raises(FileNotFoundError):
        checkpoint_files.load(tmp_path / "none.pt")


def test_a_finished_run_started_again_only_writes_its_final_events_again(tmp_path: Path, features: Features) -> None:
    config = small_config(tmp_path, budget={"frames": 1000})
    first = Run(config, features)
    saved = first.dir.last_checkpoint.read_bytes()
    again = Run(config, features)
    assert again.code is ExitCode.FINISHED
    assert [event.kind for event in again.events] == [EventKind.STARTED, EventKind.FREE_RUNNING, EventKind.FINISHED]
    assert again.of(EventKind.FREE_RUNNING)[0].data == first.of(EventKind.FREE_RUNNING)[0].data
    assert again.events[-1].data == first.events[-1].data
    assert first.dir.last_checkpoint.read_bytes() == saved


def test_a_run_whose_corpus_has_changed_is_refused(tmp_path: Path, features: Features) -> None:
    config = small_config(tmp_path)
    assert train(config, features, stop_after(3)) is ExitCode.STOPPED
    other = random_features(config, utterances=44, seconds=0.5, seed=2)
    with pytest.raises(CorpusError, match=r"the corpus has changed since the run in .* began"):
        open_state(config, other)
    assert open_state(config, features).resumed


def test_a_run_of_an_earlier_version_goes_on_with_what_this_one_reads(
    tmp_path: Path, features: Features, caplog: pytest.LogCaptureFixture
) -> None:
    """It read years, dates and the like in another way, and its checkpoint names no symbols."""
    config = small_config(tmp_path)
    assert train(config, features, stop_after(3)) is ExitCode.STOPPED
    last = RunDir(tmp_path).last_checkpoint
    content = checkpoint_files.load(last)
    del content["symbols"]
    checkpoint_files.save(last, content)
    state = open_state(config, replace(features, fingerprint=features.fingerprint + 1))
    assert state.resumed
    assert state.progress.update == 3
    assert "read some texts or recordings in another way" in caplog.text


def test_a_run_with_another_symbol_table_is_refused(tmp_path: Path, features: Features) -> None:
    config = small_config(tmp_path)
    assert train(config, features, stop_after(3)) is ExitCode.STOPPED
    phonemes = small_config(tmp_path, text={"kind": "phonemes", "language": "de"})
    with pytest.raises(ConfigError, match=r"another symbol table: it has '\+' as symbol 13, but '¡' was expected"):
        open_state(phonemes, replace(features, symbols=symbols_of(phonemes.text)))


def test_a_finished_run_continues_with_a_larger_budget(tmp_path: Path, features: Features) -> None:
    assert Run(small_config(tmp_path), features).code is ExitCode.FINISHED
    longer = Run(small_config(tmp_path, budget={"frames": 8000, "reports": 4}), features)
    assert longer.code is ExitCode.FINISHED
    assert [event.data["index"] for event in longer.of(EventKind.VALIDATION)] == [3, 4]
    assert longer.last["progress"]["frames"] == longer.events[-1].frames >= 8000


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("optimizer.lr", {"optimizer": {"lr": 1e-3}}),
        ("model.prenet_dim", {"model": {"prenet_dim": 4}}),
        ("seed", {"seed": 9}),
    ],
)
def test_a_run_is_not_resumed_with_settings_that_change_its_numbers(
    finished: Run, tmp_path: Path, features: Features, key: str, changes: dict[str, Any]
) -> None:
    shutil.copytree(finished.dir.path, tmp_path / "run")
    with pytest.raises(ConfigError, match=rf"^`{key}` was .* when the run in .* began, and is .* now"):
        open_state(small_config(tmp_path / "run", **changes), features)
    assert open_state(small_config(tmp_path / "run", logging={"pictures": True}), features).resumed


def test_a_run_of_a_version_without_a_setting_keeps_to_what_it_did(
    finished: Run, tmp_path: Path, features: Features
) -> None:
    shutil.copytree(finished.dir.path, tmp_path / "run")
    last = RunDir(tmp_path / "run").last_checkpoint
    content = checkpoint_files.load(last)
    assert content["settings"]["loss"].pop("gate_tail") == small_config(tmp_path).loss.gate_tail > 0
    content["settings"]["loss"]["gate_positive_weight"] = 5.0
    checkpoint_files.save(last, content)
    for _ in range(2):  # the second time from a checkpoint that has the setting
        state = open_state(small_config(tmp_path / "run"), features)
        assert state.resumed
        assert state.config.loss.gate_tail == 0
        assert state.config.loss.gate_positive_weight == 5
        state.save()
