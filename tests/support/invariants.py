"""What must hold for a study after any fault, and what must hold when it is finished."""

import itertools
import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import optuna
from deployment import Deployment, Row, events_of
from fake_trainer import loss_and_alignment
from optuna.storages import RDBStorage

from trainer.protocol import EventKind


def check_now(deployment: Deployment) -> None:
    """What must hold after any fault."""
    assert not deployment.deaths, f"a worker died by itself: {deployment.deaths}"
    if deployment.url.startswith("sqlite"):
        with closing(sqlite3.connect(deployment.url.removeprefix("sqlite:///"))) as store:
            assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the file is damaged"
    rows = deployment.rows()
    assert [row.number for row in rows] == list(range(len(rows))), "numbers are 0, 1, 2, ..."
    assert len(rows) <= deployment.target, "more trials than were asked for"
    for row in rows:
        assert len(row.values) == (row.state == "COMPLETE" or (row.state == "PRUNED" and bool(row.reports))), row
        assert len({step for step, _ in row.reports}) == len(row.reports), f"reported twice: {row}"
        if deployment.is_fake:
            check_curve(deployment, row)
    if deployment.pauses:
        check_pauses(deployment, rows)
        check_disk(deployment, 1e9 * deployment.definition["limits"]["paused_gb"])


def check_pauses(deployment: Deployment, rows: Sequence[Row]) -> None:
    """What has paused is as it was left; a trial goes on where it had stopped, and once from each place."""
    for row in rows:
        if row.paused:
            assert row.attributes["paused"]["index"] == row.reached, row
        promoted = row.attributes.get("promoted", [])
        assert promoted == sorted(set(promoted)), f"promoted twice from one place: {row}"
        events = events_of(deployment.record(row.number))
        for before, after in itertools.pairwise(events):
            if before.kind is EventKind.STOPPED and after.kind is EventKind.STARTED:
                assert after.update == before.update, f"trained again what was saved: {row}, {before}, {after}"


def check_disk(deployment: Deployment, limit: float) -> None:
    """The checkpoints of paused trials need no more than the limit, once a worker has had the time to delete some."""

    def needed() -> int:
        paused = [row.number for row in deployment.rows() if row.paused]
        runs = [deployment.run_dir(number) for number in paused]
        return sum(size_of(path) for run in runs for path in (run.last_checkpoint, run.previous_checkpoint))

    deployment.wait(lambda: needed() <= limit, "the disk is within its limit", 10)


def size_of(path: Path) -> int:
    """In bytes; 0 where it is not there, or not any longer."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check_curve(deployment: Deployment, row: Row) -> None:
    """Each report has the value that the fake trainer computes for it, and none is missing."""
    config = json.loads(deployment.run_dir(row.number).config.read_text()) if row.reports else {}
    assert [step for step, _ in row.reports] == list(range(1, row.reached + 1)), f"a report is missing: {row}"
    for step, value in row.reports:
        loss, _ = loss_and_alignment(config, step / deployment.reports)
        assert math.isclose(loss, value, rel_tol=1e-6), f"report {step} is {value} instead of {loss}: {row}"


def check_opens(deployment: Deployment) -> optuna.Study:
    """Plain Optuna opens the study."""
    before = len(deployment.rows())
    storage = RDBStorage(deployment.url)
    try:
        study = optuna.load_study(study_name=deployment.definition["name"], storage=storage)
        numbers = [trial.number for trial in study.get_trials()]
        assert numbers == list(range(len(numbers))), numbers
        assert before <= len(numbers) <= deployment.target, numbers
        return study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def check_end(deployment: Deployment, expected: Mapping[int, str]) -> None:
    """expected: the states of the trials that did not complete."""
    check_now(deployment)
    check_opens(deployment)
    rows = deployment.rows()
    assert len(rows) == deployment.target, f"{len(rows)} trials"
    if deployment.pauses:
        assert any(row.state == "COMPLETE" for row in rows), "nothing was trained to its end"
    for row in rows:
        was_paused = row.attributes.get("cause") in ("not promoted", "disk limit")
        wanted = expected.get(row.number, "COMPLETE")
        assert row.state == wanted or (deployment.pauses and row.state == "PRUNED" and was_paused), f"{row}"
        if row.state == "COMPLETE":
            assert [step for step, _ in row.reports] == list(range(1, deployment.reports + 1)), f"{row}"
            assert math.isclose(row.values[0], min(value for _, value in row.reports), rel_tol=1e-6), f"{row}"
            events = events_of(deployment.record(row.number))
            last = max((i for i, event in enumerate(events) if event.kind is EventKind.STARTED), default=0)
            ends = [event for event in events[last:] if event.kind is EventKind.FINISHED]
            assert len(ends) == 1, f"finished {len(ends)} times after its last start: {row}"
    assert not deployment.trainers(), "a trainer outlives its worker"
    left = unfinished_files(deployment.workspace)
    assert not left, f"left behind: {left}"


def unfinished_files(workspace: Path) -> list[Path]:
    return [path for path in workspace.rglob("*") if ".tmp" in path.name]
