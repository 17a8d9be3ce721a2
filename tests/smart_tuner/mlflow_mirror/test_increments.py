"""A later sync sends what is new since the earlier one, and nothing twice."""

import math
from typing import Any

import pytest
from mirror_lab import T0, Lab, progress, sync, validation
from mlflow import MlflowClient
from optuna.trial import TrialState


def test_second_sync_changes_nothing(lab: Lab) -> None:
    for value in (0.5, 0.4):
        trial = lab.begin()
        lab.write(trial.number, [progress(1), validation(1, 1, math.nan), progress(2, math.inf)])
        lab.finish(trial, value)
    lab.write(lab.begin().number, [progress(1)])
    mirror = lab.mirror()
    mirror.sync_study()
    before = lab.everything()
    mirror.sync_study()
    sync(mirror, 1)
    lab.mirror().sync_study()
    assert lab.everything() == before


def test_points_are_not_doubled_after_a_lost_offset(lab: Lab) -> None:
    """A sync that was killed between the points and the offset sends the points again, without effect."""
    lab.write(lab.begin().number, [progress(1), progress(2, math.nan)])
    lab.mirror().sync_study()
    before = lab.everything()
    lab.client.delete_tag(lab.run(0).info.run_id, "smart_tuner.events_sent")
    lab.mirror().sync_study()
    assert lab.everything() == before


def test_interrupted_trial_is_continued(lab: Lab) -> None:
    trial = lab.begin()
    lab.write(0, [progress(1), validation(1, 1, 3.0)])
    mirror = lab.mirror()
    sync(mirror, 0)
    run_id, start = mirror.run_id(0), lab.run(0).info.start_time
    assert (lab.run(0).info.status, lab.run(0).info.end_time) == ("RUNNING", None)
    assert start == round(T0 * 1000)  # before the start that the store has after the second start

    storage = lab.study._storage
    storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
    mirror.sync_study()
    assert (lab.run(0).info.status, lab.run(0).data.tags["state"]) == ("SCHEDULED", "WAITING")

    storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    lab.write(0, [validation(1, 1, 3.0, at=50), progress(2, at=50)])
    for _ in range(2):
        sync(lab.mirror(), 0)  # another process
    assert lab.run(0).info.status == "RUNNING"
    lab.finish(trial, 0.5)
    sync(mirror, 0)
    assert (lab.run(0).info.run_id, lab.run(0).info.start_time) == (run_id, start)
    assert lab.run(0).info.status == "FINISHED"
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1, 2]
    first, again = round((T0 + 1) * 1000), round((T0 + 51) * 1000)
    assert lab.curve(0, "validation/loss") == [(1, 3.0, first), (1, 3.0, again)]


def test_a_live_sync_sends_only_what_is_new(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.begin()
    lab.write(0, [progress(update) for update in range(1, 50)])
    mirror = lab.mirror()
    sync(mirror, 0)
    sent: list[str] = []
    original = MlflowClient.log_batch

    def log_batch(self: MlflowClient, run_id: str, *args: Any, **batch: Any) -> Any:
        sent.extend(f"{metric.key}@{metric.step}" for metric in batch.get("metrics", ()))
        return original(self, run_id, *args, **batch)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    lab.write(0, [progress(50)])
    sync(mirror, 0)
    figures = ["frames_per_second", "gradient_norm", "loss", "lr", "memory_bytes"]
    assert sorted(sent) == ["frames@50", *(f"train/{name}@50" for name in figures)]


def test_a_half_written_line_is_read_once_it_is_complete(lab: Lab) -> None:
    lab.begin()
    lab.write(0, [progress(1)])
    line = progress(2).to_line().encode()
    with lab.record(0).events.open("ab") as file:
        file.write(line[:30])
    mirror = lab.mirror()
    sync(mirror, 0)
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1]
    with lab.record(0).events.open("ab") as file:
        file.write(line[30:])
    sync(mirror, 0)
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1, 2]


def test_a_record_that_was_written_again_is_read_from_the_start(lab: Lab) -> None:
    lab.begin()
    lab.write(0, [progress(update) for update in (1, 2, 3)])
    sync(lab.mirror(), 0)
    lab.record(0).events.unlink()
    lab.write(0, [progress(7)])
    sync(lab.mirror(), 0)
    assert [step for step, *_ in lab.curve(0, "train/loss")] == [1, 2, 3, 7]


def test_a_trial_whose_directory_is_on_another_machine(lab: Lab) -> None:
    trial = lab.begin()
    lab.write(0, [progress(1)])
    lab.finish(trial, 0.5)
    elsewhere = lab.workspace / "elsewhere"
    (lab.workspace / "runs").rename(elsewhere)
    lab.mirror().sync_study()
    assert (lab.run(0).info.status, lab.curve(0, "train/loss")) == ("FINISHED", [])
    elsewhere.rename(lab.workspace / "runs")
    lab.mirror().sync_study()
    assert len(lab.curve(0, "train/loss")) == 1
    assert {file.path for file in lab.client.list_artifacts(lab.run(0).info.run_id)} == {"config.json", "trainer.log"}
