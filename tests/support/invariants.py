"""What holds of a study at any moment, whatever has struck it, and what holds when it has its trials."""

import json
import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import optuna
from arena import Arena, Row, events_of
from fake_trainer import loss_and_alignment
from optuna.storages import RDBStorage

from trainer.protocol import EventKind


def check_now(arena: Arena) -> None:
    """No fault may leave behind anything else than this."""
    assert not arena.deaths, f"a worker broke by itself: {arena.deaths}"
    if arena.url.startswith("sqlite"):
        with closing(sqlite3.connect(arena.url.removeprefix("sqlite:///"))) as store:
            assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the file is damaged"
    rows = arena.rows()
    assert [row.number for row in rows] == list(range(len(rows))), "numbers are 0, 1, 2, ..."
    assert len(rows) <= arena.target, "more trials than were asked for"
    for row in rows:
        assert len(row.values) == (row.state == "COMPLETE" or (row.state == "PRUNED" and bool(row.reports))), row
        assert len({step for step, _ in row.reports}) == len(row.reports), f"reported twice: {row}"
        if arena.is_fake:
            check_curve(arena, row)


def check_curve(arena: Arena, row: Row) -> None:
    """Each report is what the fake trainer says of this point of this trial, and none is lacking."""
    config = json.loads(arena.run_dir(row.number).config.read_text()) if row.reports else {}
    assert [step for step, _ in row.reports] == list(range(1, row.reached + 1)), f"a report is lacking: {row}"
    for step, value in row.reports:
        loss, _ = loss_and_alignment(config, step / arena.reports)
        assert math.isclose(loss, value, rel_tol=1e-6), f"report {step} is {value} in place of {loss}: {row}"


def check_opens(arena: Arena) -> optuna.Study:
    """With plain Optuna."""
    before = len(arena.rows())
    storage = RDBStorage(arena.url)
    try:
        study = optuna.load_study(study_name=arena.definition["name"], storage=storage)
        numbers = [trial.number for trial in study.get_trials()]
        assert numbers == list(range(len(numbers))), numbers
        assert before <= len(numbers) <= arena.target, numbers
        return study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def check_end(arena: Arena, expected: Mapping[int, str]) -> None:
    """expected: how trials ended that did not complete."""
    check_now(arena)
    check_opens(arena)
    rows = arena.rows()
    assert len(rows) == arena.target, f"{len(rows)} trials"
    for row in rows:
        assert row.state == expected.get(row.number, "COMPLETE"), f"{row}"
        if row.state == "COMPLETE":
            assert [step for step, _ in row.reports] == list(range(1, arena.reports + 1)), f"{row}"
            assert math.isclose(row.values[0], min(value for _, value in row.reports), rel_tol=1e-6), f"{row}"
            events = events_of(arena.record(row.number))
            last = max((i for i, event in enumerate(events) if event.kind is EventKind.STARTED), default=0)
            ends = [event for event in events[last:] if event.kind is EventKind.FINISHED]
            assert len(ends) == 1, f"finished {len(ends)} times after its last start: {row}"
    assert not arena.trainers(), "a trainer outlives its worker"
    left = unfinished_files(arena.workspace)
    assert not left, f"left behind: {left}"


def unfinished_files(workspace: Path) -> list[Path]:
    return [path for path in workspace.rglob("*") if ".tmp" in path.name]
