"""The fake trainer does what its acts are called: other tests rely on them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainer.protocol import Event, EventKind, ExitCode, RunDir, all_events

FAKE = str(Path(__file__).parents[1] / "support" / "fake_trainer.py")
ALL_KINDS = ["started", *(["progress", "validation", "checkpoint"] * 4), "free_running", "finished"]


def _run(folder: Path, **settings: Any) -> tuple[int, RunDir]:
    run = RunDir(folder)
    run.config.write_text(json.dumps({"fake": settings}))
    with run.log.open("ab") as log:
        done = subprocess.run([sys.executable, FAKE, "--config", str(run.config)], stdout=log, stderr=log, check=False)
    return done.returncode, run


def _kinds(run: RunDir) -> list[str]:
    events = all_events(run.events)
    return [e.kind.value for e in events if not str(e.data.get("path", "")).endswith("best.pt")]


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ("crash", ExitCode.CRASHED),
        ("leave", ExitCode.FINISHED),
        ("diverged", ExitCode.DIVERGED),
        ("memory", ExitCode.OUT_OF_MEMORY),
        ("disk full", ExitCode.NO_SPACE),
    ],
)
def test_an_act_once_ends_the_run_and_a_retry_finishes(tmp_path: Path, act: str, code: ExitCode) -> None:
    ended, run = _run(tmp_path, act_once=[act])
    assert ended == code
    last = all_events(run.events)[-1]
    assert (last.kind is EventKind.FAILED) == (act not in ("crash", "leave"))
    assert last.data.get("exit_code", code) == code
    again, _ = _run(tmp_path, act_once=[act])
    assert again == ExitCode.FINISHED
    assert [e.data["resumed"] for e in all_events(run.events) if e.kind is EventKind.STARTED] == [False, True]
    assert [e.data["index"] for e in all_events(run.events) if e.kind is EventKind.VALIDATION] == [1, 2, 3, 4]


def test_garbage_lines_are_no_events(tmp_path: Path) -> None:
    code, run = _run(tmp_path, act=["garbage events", "garbage"])
    assert code == ExitCode.FINISHED
    assert _kinds(run) == ALL_KINDS
    lines = run.events.read_bytes().split(b"\n")
    assert max(map(len, lines)) > 3_000_000
    kinds = {json.loads(line)["kind"] for line in lines if line.startswith(b'{"kind": ')}  # of the garbage alone
    assert len(kinds) > 5
    assert kinds <= set(EventKind)


def test_truncate_costs_one_event(tmp_path: Path) -> None:
    code, run = _run(tmp_path, act=["truncate"])
    assert code == ExitCode.FINISHED
    whole = [line for line in run.events.read_text().splitlines() if _is_event(line)]
    assert len(whole) == len(run.events.read_text().splitlines()) - 1
    assert _kinds(run)[-1] == "finished"


def _is_event(line: str) -> bool:
    try:
        return bool(Event.from_line(line))
    except ValueError:
        return False


def test_flood_fills_the_log(tmp_path: Path) -> None:
    code, run = _run(tmp_path, act=["flood"])
    assert code == ExitCode.FINISHED
    assert run.log.stat().st_size > 50_000_000
    assert _kinds(run) == ALL_KINDS
    os.truncate(run.log, 0)  # pytest keeps the folder


@pytest.mark.parametrize(("both", "resumed", "done"), [(False, True, 1), (True, False, 0)])
def test_torn_checkpoints_are_put_aside(tmp_path: Path, both: bool, resumed: bool, done: int) -> None:
    """The fake tears last.pt at the third report, when previous.pt is of the first."""
    _, run = _run(tmp_path, act_once=["torn", "crash"], at=3)
    if both:
        run.previous_checkpoint.write_bytes(b"\xff")
    code, _ = _run(tmp_path)
    assert code == ExitCode.FINISHED
    start = [e for e in all_events(run.events) if e.kind is EventKind.STARTED][-1]
    assert (start.data["resumed"], start.update) == (resumed, done)
    assert {path.stem for path in run.path.glob("checkpoints/*.unreadable")} == {"last", *(["previous"] * both)}
