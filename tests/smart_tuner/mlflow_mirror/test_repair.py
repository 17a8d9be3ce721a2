"""Repair compares every run with its trial, and corrects what differs."""

import math

from mirror_lab import Lab, progress, validation

from smart_tuner.mlflow_mirror.mirror import Synced
from smart_tuner.store.attributes import Attr


def test_repair_creates_everything_and_then_changes_nothing(lab: Lab) -> None:
    for value in (0.5, 0.4):
        trial = lab.begin()
        lab.write(trial.number, [progress(1), validation(1, 1, math.nan)])
        lab.record(trial.number).best_checkpoint.write_bytes(b"weights")
        trial.set_user_attr(Attr.PROMOTED, [1])
        lab.finish(trial, value)
    first = lab.mirror().sync_study(repair=True)
    assert first == Synced(created=2, repaired=0, unchanged=0, relocated=True), "the lab's store is a copy of another"
    before = lab.everything()
    assert lab.mirror().sync_study(repair=True) == Synced(created=0, repaired=0, unchanged=2)
    assert lab.mirror().sync_study() == Synced(created=0, repaired=0, unchanged=2)
    assert lab.everything() == before


def lose_points(lab: Lab, number: int) -> None:
    """Like a server that was restored from a backup: the offset says more than is there."""
    lab.in_sql("DELETE FROM metrics WHERE key = 'train/loss' AND run_uuid = ?", lab.run(number).info.run_id)


def lose_artifacts(lab: Lab, number: int) -> None:
    (lab.workspace / "mlartifacts" / lab.run(number).info.run_id / "artifacts" / "trainer.log").unlink()


def write_a_tag(lab: Lab, number: int) -> None:
    lab.client.set_tag(lab.run(number).info.run_id, "state", "FAIL")
    lab.client.set_tag(lab.run(number).info.run_id, "figure.wrong", "1")


def write_a_point(lab: Lab, number: int) -> None:
    lab.client.log_metric(lab.run(number).info.run_id, "train/loss", 9.0, step=9)


def write_a_param(lab: Lab, number: int) -> None:
    lab.client.log_param(lab.run(number).info.run_id, "optimizer.kind", "adam")


def end_it_again(lab: Lab, number: int) -> None:
    lab.client.set_terminated(lab.run(number).info.run_id, "FAILED", 1)


def change_its_start(lab: Lab, number: int) -> None:
    lab.in_sql("UPDATE runs SET start_time = 1 WHERE run_uuid = ?", lab.run(number).info.run_id)


def double_it(lab: Lab, number: int) -> None:
    run = lab.run(number)
    tags = {name: value for name, value in run.data.tags.items() if name in ("smart_tuner.trial", "trial")}
    lab.client.create_run(run.info.experiment_id, run.info.start_time + 1, tags, "again")


DAMAGES = (
    lose_points,
    lose_artifacts,
    write_a_tag,
    write_a_point,
    write_a_param,
    end_it_again,
    change_its_start,
    double_it,
)


def test_repair_corrects_each_kind_of_damage(lab: Lab) -> None:
    for value in range(len(DAMAGES) + 1):
        trial = lab.begin()
        lab.write(trial.number, [progress(1), progress(2)])
        lab.finish(trial, 1.0 + value)
    lab.mirror().sync_study()
    before = lab.shown()
    for number, damage in enumerate(DAMAGES):
        damage(lab, number)
    assert lab.mirror().sync_study(repair=True) == Synced(created=0, repaired=len(DAMAGES), unchanged=1)
    assert lab.shown() == before
    assert lab.mirror().sync_study(repair=True) == Synced(created=0, repaired=0, unchanged=len(DAMAGES) + 1)


def test_repair_leaves_alone_what_only_another_machine_has(lab: Lab) -> None:
    trial = lab.begin()
    lab.write(0, [progress(1)])
    lab.finish(trial, 0.5)
    lab.mirror().sync_study()
    before = lab.everything()
    (lab.workspace / "runs").rename(lab.workspace / "elsewhere")
    assert lab.mirror().sync_study(repair=True) == Synced(created=0, repaired=0, unchanged=1)
    assert lab.everything() == before
