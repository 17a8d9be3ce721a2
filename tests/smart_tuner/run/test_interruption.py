"""Tuners that are interrupted, killed or run side by side: each trial is continued where it stopped, none is lost."""

import io
import json
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from lab import GUIDED, Lab, trainers_in
from rich.console import Console
from waiting import wait_until

from smart_tuner.outcome import Cause
from smart_tuner.store.attributes import Attr, stored_cause
from trainer.protocol import Event, EventKind, EventWriter


def interrupted(lab: Lab, *signals: signal.Signals, trials: int = 3, jobs: int = 1) -> subprocess.Popen[str]:
    """A tuner in its own process whose first trials hang after report 2, and which then gets `signals`."""
    process = lab.process(trials, jobs)
    wait_until(lambda: all(lab.run_dir(n).last_checkpoint.exists() for n in range(jobs)))
    wait_until(lambda: all(2 in lab.validated(n) for n in range(jobs)))
    wait_until(lambda: all(lab.events(n)[-1].kind is EventKind.CHECKPOINT for n in range(jobs)))
    for number in signals:
        process.send_signal(number)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_after_one_signal_the_trials_save_and_the_next_start_continues_them(lab: Lab, number: signal.Signals) -> None:
    lab.define(enqueue=[GUIDED, GUIDED, GUIDED])
    lab.order(any={"hold_at": 2})
    process = interrupted(lab, number, jobs=2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.rstrip().endswith("Stopped after 0 of 3 trials; the same command continues it.")
    assert re.search(rf"INTERRUPTED .*: stopped by {number.name}$", errors, re.MULTILINE)
    assert lab.states() == ["WAITING"] * 2
    assert lab.events(0)[-1].kind is EventKind.STOPPED
    written = [lab.run_dir(n).config.stat().st_mtime_ns for n in (0, 1)]
    lab.order()
    result = lab.tuner().optimize(3)
    assert dict(result.states) == {"COMPLETE": 3}
    assert [lab.resumed(n) for n in range(3)] == [[False, True], [False, True], [False]]
    assert [lab.validated(n) for n in range(3)] == [[1, 2, 3, 4]] * 3
    assert [list(t.intermediate_values) for t in lab.study().trials] == [[1, 2, 3, 4]] * 3
    assert [lab.run_dir(n).config.stat().st_mtime_ns for n in (0, 1)] == written


def unreported(lab: Lab, **figures: float) -> None:
    """A third report of trial 0, whose worker was killed before it could write it to the store."""
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    interrupted(lab, signal.SIGINT, trials=1).communicate(timeout=60)
    record = EventWriter(lab.run_dir(0).events)
    record.write(Event(EventKind.VALIDATION, 750, 3, {"index": 3, "best": False, **figures}))
    record.close()
    lab.order()


def test_events_of_earlier_starts_count_but_are_not_shown_again(lab: Lab) -> None:
    unreported(lab, loss=1.5, alignment=0.125, free_running_distance=9.5)
    lab.console.file.close()
    output = io.StringIO()
    lab.console = Console(file=output, width=200)
    assert dict(lab.tuner().optimize(1).states) == {"COMPLETE": 1}
    assert lab.validated(0) == [1, 2, 3, 3, 4]
    (trial,) = lab.study().trials
    assert list(trial.intermediate_values) == [1, 2, 3, 4]
    assert trial.intermediate_values[3] == 9.5, "the first report counts"
    assert (trial.user_attrs[Attr.ALIGNMENT]["3"], trial.user_attrs[Attr.LOSS]["3"]) == (0.125, 1.5)
    shown = re.findall(r"trial 0 +(\S+)", output.getvalue())
    assert shown[:3] == ["continued:", "75%", "COMPLETE"]


def test_a_report_that_no_worker_judged_prunes_its_trial_before_it_is_continued(lab: Lab) -> None:
    unreported(lab, loss=float("nan"), alignment=0.9)
    assert dict(lab.tuner().optimize(1).states) == {"PRUNED": 1}
    (trial,) = lab.study().trials
    assert stored_cause(trial) is Cause.DIVERGED
    assert lab.validated(0) == [1, 2, 3]


def test_a_folder_of_a_study_in_another_store_is_set_aside(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order()
    lab.tuner().optimize(1)
    events = lab.run_dir(0).events.read_bytes()
    for file in lab.workspace.glob("studies.db*"):
        file.unlink()
    assert dict(lab.tuner().optimize(1).states) == {"COMPLETE": 1}
    (trial,) = lab.study().trials
    assert trial.params == GUIDED
    assert lab.validated(0) == [1, 2, 3, 4]
    aside = lab.run_dir(0).path.with_name("trial-0000.earlier-1")
    assert (aside / "events.jsonl").read_bytes() == events


@pytest.mark.slow
def test_memory_that_a_trial_held_before_it_was_interrupted_is_not_counted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(any={"hold_at": 2})
    interrupted(lab, signal.SIGINT).communicate(timeout=60)
    lab.order()
    noted: list[float] = []
    monkeypatch.setattr("smart_tuner.machine.admission.DeviceAdmission.note_held", lambda *call: noted.append(call[-1]))
    lab.tuner().optimize(1)
    assert len(lab.events(0, EventKind.PROGRESS)) == 4
    assert noted == [10**8] * 2  # by the two reports after the interruption


def test_after_two_signals_the_tuner_ends_at_once(lab: Lab) -> None:
    lab.order(t0={"hold_at": 2, "act": ["deaf"]})
    process = interrupted(lab, signal.SIGINT)
    wait_until((lab.run_dir(0).path / "asked-to-stop").exists)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)  # the grace time of this tuner is 60 s
    assert process.returncode == 130
    assert not trainers_in(lab.path)
    lab.order()
    assert sum(lab.tuner().optimize(3).states.values()) == 3
    assert lab.resumed(0) == [False, True]


def test_a_pruned_trial_stays_pruned_when_the_signal_comes_later(lab: Lab) -> None:
    lab.define(enqueue=[{"optimizer.lr": 2e-3, "guided_attention.enabled": False}])
    lab.order(t0={"hold_at": 2, "act": ["deaf"]})
    process = interrupted(lab)
    wait_until((lab.run_dir(0).path / "asked-to-stop").exists)  # by the pruner; the trainer ignores it
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # another number, since two of one may arrive as one
    process.communicate(timeout=30)
    assert lab.states()[0] == "PRUNED"


@pytest.mark.slow
def test_two_tuners_of_one_study_finish_exactly_the_requested_trials_and_none_twice(lab: Lab) -> None:
    processes = [lab.process(6) for _ in range(2)]
    ends = [process.communicate(timeout=90) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    trials = lab.study().trials[:6]
    assert all(t.state.is_finished() for t in trials)
    assert [lab.resumed(n) for n in range(6)] == [[False]] * 6
    assert len(list((lab.workspace / "runs" / "lab").iterdir())) == 6


def test_a_tuner_that_was_killed_leaves_no_trainer_and_its_trial_is_continued(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    process = interrupted(lab)
    process.kill()
    process.communicate()
    wait_until(lambda: not trainers_in(lab.path), "the trainer is gone", 10)
    assert lab.states()[0] == "RUNNING"
    lab.order()
    result = lab.tuner().optimize(3)
    assert sum(result.states.values()) == 3
    assert lab.resumed(0) == [False, True]
    assert lab.validated(0) == [1, 2, 3, 4]
    assert list(lab.study().trials[0].intermediate_values) == [1, 2, 3, 4]


def test_a_waiting_tuner_continues_the_trial_of_one_that_was_killed(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED, GUIDED])
    lab.order(t0={"hold_at": 2})
    dying = interrupted(lab, trials=2)
    lab.order()
    ended: list[Any] = []
    waiting = threading.Thread(target=lambda: ended.append(lab.tuner().optimize(2)))
    waiting.start()
    wait_until(lambda: lab.run_dir(1).path.exists() and lab.states()[1] == "COMPLETE")
    assert not ended  # trial 0 runs elsewhere
    dying.kill()
    dying.communicate()
    waiting.join(60)
    assert dict(ended[0].states) == {"COMPLETE": 2}
    assert lab.resumed(0) == [False, True]


@pytest.mark.slow
def test_a_trial_whose_directory_vanished_starts_again(lab: Lab, tmp_path: Path) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    interrupted(lab, signal.SIGINT, trials=1).communicate(timeout=60)
    lab.run_dir(0).path.rename(tmp_path / "elsewhere")
    lab.order()
    assert dict(lab.tuner().optimize(1).states) == {"COMPLETE": 1}
    assert lab.resumed(0) == [False]
    assert list(lab.study().trials[0].intermediate_values) == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_trial_of_a_moved_workspace_is_continued_there(lab: Lab, tmp_path: Path) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    interrupted(lab, signal.SIGINT, trials=1).communicate(timeout=60)
    before = json.loads(lab.run_dir(0).config.read_text())
    old = lab.workspace
    lab.workspace = old.rename(tmp_path / "moved")
    lab.order()
    assert dict(lab.tuner().optimize(1).states) == {"COMPLETE": 1}
    assert lab.resumed(0) == [False, True]
    assert not old.exists()
    after = json.loads(lab.run_dir(0).config.read_text())
    assert after["paths"]["run"] == str(lab.run_dir(0).path)
    assert before | {"paths": None} == after | {"paths": None}
