"""Updates that are not finite are skipped, then training is rolled back, and at last gives up."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from short_run import Run, same, small_config, stop_after

from trainer import updates
from trainer.corrections.correction import Action
from trainer.data.features import Features
from trainer.loop import train_on
from trainer.losses import Losses, training_losses
from trainer.protocol import Event, EventKind, ExitCode, RunDir, all_events
from trainer.resuming import open_state

pytestmark = pytest.mark.usefixtures("one_thread")


def _of(run: RunDir, kind: EventKind) -> list[Event]:
    return [event for event in all_events(run.events) if event.kind is kind]


def _bad_updates(monkeypatch: pytest.MonkeyPatch, bad: Callable[[int], bool], value: float = math.nan) -> None:
    """Multiply the loss of the updates in `bad` by `value`; all updates of the process are counted, from 1."""
    calls = iter(range(1, 10**9))

    def losses(*arguments: Any) -> Losses:
        good = training_losses(*arguments)
        return replace(good, total=good.total * value) if bad(next(calls)) else good

    monkeypatch.setattr(updates, "training_losses", losses)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, features: Features, value: float
) -> None:
    _bad_updates(monkeypatch, lambda call: call in (2, 3, 4, 5, 7, 8), value)
    run = Run(small_config(tmp_path, budget={"frames": 2000}), features)
    assert run.code is ExitCode.FINISHED
    assert [(e.update, e.data["what"]) for e in run.of(EventKind.CORRECTION)] == [
        (update, "skip") for update in (2, 3, 4, 5, 7, 8)
    ]
    assert all(tensor.isfinite().all() for tensor in run.last["model"].values())
    assert math.isfinite(run.of(EventKind.VALIDATION)[-1].data["loss"])


def test_a_skipped_update_leaves_the_weights_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, features: Features
) -> None:
    _bad_updates(monkeypatch, lambda call: True)
    state = open_state(small_config(tmp_path), features)
    before = {name: parameter.clone() for name, parameter in state.model.named_parameters()}
    train_on(state, stop_after(3))
    assert same(before, dict(state.model.named_parameters()))
    assert state.progress.bad_updates_in_a_row == 3


def test_bad_updates_in_a_row_roll_back_to_the_last_checkpoint_at_half_the_rate(
    monkeypatch: pytest.MonkeyPatch, finished: Run, tmp_path: Path, features: Features
) -> None:
    saved = finished.of(EventKind.VALIDATION)[0]
    _bad_updates(monkeypatch, lambda call: saved.update + 2 <= call < saved.update + 7)
    run = Run(small_config(tmp_path), features)
    assert run.code is ExitCode.FINISHED
    corrections = run.of(EventKind.CORRECTION)
    assert [event.data["what"] for event in corrections] == ["skip"] * 4 + ["roll_back"]
    assert (corrections[-1].data["before"], corrections[-1].data["after"]) == (1.0, 0.5)
    rest = run.events[run.events.index(corrections[-1]) + 1 :]
    progress = [event for event in rest if event.kind is EventKind.PROGRESS and event.update > saved.update]
    assert progress[0].update == saved.update + 1
    assert {event.data["lr"] for event in progress} == {0.5 * finished.state.config.optimizer.lr}
    assert progress[0].data["mel_loss"] == finished.of(EventKind.PROGRESS)[saved.update].data["mel_loss"]
    assert [e.data["index"] for e in run.of(EventKind.VALIDATION)] == [1, 2, 3, 4]
    assert run.last["progress"]["rollbacks"] == 1


@pytest.mark.parametrize("torn", [["last"], ["last", "previous"]])
def test_a_rollback_survives_a_torn_checkpoint(
    monkeypatch: pytest.MonkeyPatch, finished: Run, tmp_path: Path, features: Features, torn: list[str]
) -> None:
    first, second = finished.of(EventKind.VALIDATION)[:2]
    _bad_updates(monkeypatch, lambda call: second.update + 2 <= call < second.update + 7)
    tear = RunDir(tmp_path)

    def tear_in_time() -> None:
        if len(_of(tear, EventKind.CORRECTION)) == 4:
            for name in torn:
                tear.last_checkpoint.with_stem(name).write_bytes(b"torn")

    run = Run(small_config(tmp_path), features, tear_in_time)
    assert run.code is ExitCode.FINISHED
    what, end = (
        ("roll_back", f"back to the weights of update {first.update}")
        if torn == ["last"]
        else ("lower_rate", "no state to return to is kept")
    )
    (back,) = (i for i, e in enumerate(run.events) if e.data.get("what") == what)
    assert run.events[back].data["reason"].endswith(f"5 updates in a row were not finite; learning rate x 0.5; {end}")
    progress = [event for event in run.events[back:] if event.kind is EventKind.PROGRESS]
    resumed_at = first.update if torn == ["last"] else second.update + 6
    assert progress[1].update in (resumed_at + 1, resumed_at + 2)
    assert progress[-1].data["lr"] == 0.5 * finished.state.config.optimizer.lr
    assert {path.stem for path in tear.last_checkpoint.parent.glob("*.unreadable")} == set(torn)
    assert run.last["progress"]["rollbacks"] == 1


def test_training_that_does_not_recover_ends_as_diverged_with_a_good_checkpoint(
    monkeypatch: pytest.MonkeyPatch, finished: Run, tmp_path: Path, features: Features
) -> None:
    saved = finished.of(EventKind.VALIDATION)[0]
    _bad_updates(monkeypatch, lambda call: call > saved.update)
    run = Run(small_config(tmp_path), features)
    assert run.code is ExitCode.DIVERGED
    what = [event.data["what"] for event in run.of(EventKind.CORRECTION)]
    assert what == (["skip"] * 4 + [Action.ROLL_BACK]) * 2 + ["skip"] * 4 + [Action.GIVE_UP]
    assert [e.data["after"] for e in run.of(EventKind.CORRECTION) if e.data["what"] != "skip"] == [0.5, 0.25, 0.25]
    end = run.events[-1]
    assert (end.kind, end.data["exit_code"]) == (EventKind.FAILED, 11)
    assert "not finite" in end.data["reason"]
    assert run.last["progress"]["update"] == saved.update
    assert all(tensor.isfinite().all() for tensor in run.last["model"].values())


def test_weights_that_are_not_finite_before_the_first_checkpoint_end_as_diverged(
    tmp_path: Path, features: Features
) -> None:
    state = open_state(small_config(tmp_path), features)
    with torch.no_grad():
        state.model.decoder.mel.weight[0, 0] = math.inf
    assert train_on(state) is ExitCode.DIVERGED
    assert not state.run_dir.last_checkpoint.exists()
    assert all_events(state.run_dir.events)[-1].kind is EventKind.FAILED
