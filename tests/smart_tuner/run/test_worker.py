"""Submitted studies, and workers that run their trials: started, stopped, resumed and deleted."""

import gc
import io
import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import FAKE_TRAINER, GUIDED, Lab, open_queue, trainers_in
from rich.console import Console
from tuner_process import no_corpus
from waiting import wait_until

import smart_tuner.run.corpus
import smart_tuner.run.pool
import smart_tuner.run.worker
import smart_tuner.terminal.watch
from smart_tuner.config import Settings
from smart_tuner.errors import CorpusRefused, Interrupted, StudyError
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.machine import process_tree
from smart_tuner.run.session import Session
from smart_tuner.run.worker import run_worker
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.queue import Queue
from smart_tuner.store.storage import open_storage
from smart_tuner.terminal.watch import watch_study
from smart_tuner.workspace import Workspace
from trainer.protocol import EventKind


def work(lab: Lab, *names: str, jobs: int = 1, stay: bool = False, console: Console | None = None) -> int:
    settings = Settings(workspace=lab.workspace, mlflow=False, jobs=jobs, device="cpu")
    return len(run_worker(settings, LocalExecutor(5.0, FAKE_TRAINER), console or lab.console, names, stay=stay))


def in_background(call: Any) -> tuple[threading.Thread, list[Any]]:
    """The thread, and what `call` returned or raised."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(call())
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended


def test_submitting_runs_nothing_and_a_worker_then_runs_exactly_the_requested_trials(lab: Lab) -> None:
    lab.tuner().submit(4)
    assert lab.states() == []
    assert work(lab, jobs=2) == 1
    assert len(lab.states()) == 4
    assert set(lab.states()) <= {"COMPLETE", "PRUNED"}
    assert [lab.resumed(number) for number in range(4)] == [[False]] * 4
    assert work(lab) == 0, "nothing is left"


def test_a_worker_runs_every_study_that_lacks_trials(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.tuner().submit(2)
    lab.tuner(overrides={"name": "second"}).submit(1)
    storage = open_storage(lab.url)
    optuna.create_study(storage=storage, study_name="somebody else's")
    assert work(lab, jobs=2) == 2
    for name, trials in (("lab", 2), ("second", 1)):
        states = [t.state.is_finished() for t in optuna.load_study(study_name=name, storage=storage).trials]
        assert states == [True] * trials


def test_a_worker_for_one_study_leaves_the_others_alone(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.tuner().submit(1)
    lab.tuner(overrides={"name": "second"}).submit(1)
    assert work(lab, "second") == 1
    assert lab.states() == []
    with pytest.raises(StudyError, match=r"holds no study 'secnd'; it holds `second`, `lab`"):
        work(lab, "secnd")


def test_a_study_of_another_version_is_refused(lab: Lab) -> None:
    lab.tuner().submit(1)
    definition = lab.study().user_attrs[StudyAttr.DEFINITION]
    lab.study().set_user_attr(StudyAttr.DEFINITION, {**definition, "sampler": {"kind": "of tomorrow"}})
    with pytest.raises(StudyError, match=r"(?s)`sampler.kind` .*submitted by another version"):
        work(lab)


def test_trials_of_a_stopped_study_save_and_end_and_go_on_when_it_is_resumed(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED, GUIDED])
    lab.order(any={"hold_at": 2})
    lab.tuner().submit(2)
    thread, ended = in_background(lambda: work(lab, jobs=2))
    wait_until(lambda: all(lab.run_dir(n).last_checkpoint.exists() and 2 in lab.validated(n) for n in (0, 1)))
    lab.tuner().stop()
    thread.join(30)
    assert ended == [1]
    assert lab.states() == ["WAITING"] * 2
    assert lab.events(0)[-1].kind is EventKind.STOPPED
    assert work(lab) == 0, "workers leave a stopped study alone"
    lab.order()
    lab.tuner().resume()
    assert work(lab) == 1
    assert lab.states() == ["COMPLETE"] * 2
    assert [lab.validated(n) for n in (0, 1)] == [[1, 2, 3, 4]] * 2


def test_trials_of_a_study_that_is_stopped_now_are_killed(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2, "act": ["deaf"]})
    lab.tuner().submit(1)
    thread, ended = in_background(lambda: work(lab))
    wait_until(lambda: lab.run_dir(0).last_checkpoint.exists() and 2 in lab.validated(0))
    lab.tuner().stop(now=True)
    thread.join(4)  # the grace time is 5 s
    assert ended == [1]
    assert lab.states() == ["WAITING"]
    assert not trainers_in(lab.path)


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_trainer_that_cannot_be_killed_keeps_its_trial_when_the_worker_leaves(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process_tree, "LEAVE_SECONDS", 0.2)
    monkeypatch.setattr(smart_tuner.run.pool, "WATCH_SECONDS", 0.2)
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2, "act": ["deaf"]})
    lab.tuner().submit(1)
    thread, ended = in_background(lambda: work(lab))
    wait_until(lambda: lab.run_dir(0).last_checkpoint.exists() and 2 in lab.validated(0))
    (asleep,) = trainers_in(lab.path)
    killpg = os.killpg
    monkeypatch.setattr(process_tree.os, "killpg", lambda *call: asleep in call or killpg(*call))
    lab.tuner().stop(now=True)
    thread.join(20)
    assert ended == [1]
    assert f"trainer {asleep} was killed and is still there" in caplog.text
    assert trainers_in(lab.path) == [asleep]
    lab.order()
    lab.tuner().resume()
    queue = open_queue(lab.url, 1)[2]
    assert (queue.recover(), queue.take(), lab.states()) == ([], None, ["RUNNING"])
    os.kill(asleep, signal.SIGKILL)
    assert work(lab) == 1
    assert lab.states() == ["COMPLETE"]
    assert lab.resumed(0) == [False, True]
    gc.collect()  # within the filter of warnings


def test_optimize_reports_that_its_study_was_stopped(lab: Lab) -> None:
    lab.order(t0={"hold_at": 2})
    thread, ended = in_background(lambda: lab.tuner().optimize(3))
    wait_until(lambda: lab.run_dir(0).last_checkpoint.exists() and 2 in lab.validated(0))
    lab.tuner().stop()
    thread.join(30)
    (raised,) = ended
    assert isinstance(raised, Interrupted)
    assert str(raised) == "Stopped after 0 of 3 trials, because the study was stopped; the same command continues it."
    lab.order()
    assert sum(lab.tuner().optimize(3).states.values()) == 3, "the same command continues"


def test_a_worker_follows_a_target_that_is_raised_meanwhile(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    lab.tuner().submit(1)
    thread, ended = in_background(lambda: work(lab))
    wait_until(lambda: 2 in lab.validated(0))
    lab.tuner().submit(2)
    (lab.run_dir(0).path / "go").touch()
    thread.join(60)
    assert ended == [1]
    assert len(lab.states()) == 2


def test_a_worker_that_stays_runs_studies_that_are_submitted_later(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(Exception):
        pass

    lab.define(enqueue=[GUIDED])
    naps = iter([lambda: lab.tuner().submit(1), lambda: (_ for _ in ()).throw(Enough)])
    monkeypatch.setattr(smart_tuner.run.worker.time, "sleep", lambda seconds: next(naps)())
    with pytest.raises(Enough):
        work(lab, stay=True)
    assert lab.states() == ["COMPLETE"]


def test_deleting_removes_the_trials_and_their_folders_and_nothing_else(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.tuner().optimize(1)
    other = lab.tuner(overrides={"name": "second"})
    other.optimize(1)
    doomed = lab.tuner()
    assert re.search(r"'lab': 1 trial, and these folders:\n.*runs/lab  \(0\.00 GB\)", doomed.what_delete_would_do())
    doomed.delete()
    assert optuna.get_all_study_names(open_storage(lab.url)) == ["second"]
    assert [folder.name for folder in (lab.workspace / "runs").iterdir()] == ["second"]
    assert len(other.study().trials) == 1


def test_a_running_study_is_not_deleted_but_one_whose_worker_died_is(lab: Lab) -> None:
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    process = lab.process(1)
    wait_until(lambda: 2 in lab.validated(0))
    with pytest.raises(StudyError, match=r"trial 0 is running. Stop the study first"):
        lab.tuner().delete()
    process.kill()
    process.communicate()
    wait_until(lambda: not trainers_in(lab.path), "the trainer is gone", 10)
    lab.tuner().delete()
    assert optuna.get_all_study_names(open_storage(lab.url)) == []


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_shows_the_trials_until_the_study_has_them(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: bool
) -> None:
    monkeypatch.setattr(smart_tuner.terminal.watch, "WATCH_SECONDS", 0.05)
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    lab.tuner().submit(1)
    worker, _ = in_background(lambda: work(lab))
    wait_until(lambda: 2 in lab.validated(0))
    with (tmp_path / "screen").open("w+") as screen:
        console = Console(file=screen, force_terminal=terminal, width=100)
        watcher, ended = in_background(lambda: watch_study(lab.tuner().stored().view, console))
        wait_until(lambda: "1 running" in (tmp_path / "screen").read_text())
        assert watcher.is_alive()
        (lab.run_dir(0).path / "go").touch()
        watcher.join(30)
        worker.join(30)
        shown = (tmp_path / "screen").read_text()
    assert ended == [None]
    assert "lab: 1 of 1 trial finished, 0 running" in shown
    if not terminal:
        assert "\x1b" not in shown
        lines = [line.split(" ", 2)[2] for line in shown.splitlines()]  # without the time
        assert lines[1].startswith("trial 0  50%  loss ")
        assert lines[-2].startswith("trial 0 COMPLETE (heard: ")
        assert lines[-1].startswith("lab: 1 of 1 trial finished, 0 running")


def test_a_worker_without_a_trial_shows_what_it_waits_for_and_leaves_disk_and_gpu_alone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Workspace] = []
    waits: list[int] = []  # at each: how often a workspace was checked so far
    show = Session.show_waiting

    def show_waiting(session: Session) -> None:
        waits.append(len(checked))
        show(session)

    monkeypatch.setattr(Workspace, "obstacle", lambda workspace: checked.append(workspace))
    monkeypatch.setattr(Session, "show_waiting", show_waiting)
    lab.define(enqueue=[GUIDED])
    lab.order(t0={"hold_at": 2})
    lab.tuner().submit(1)
    first, _ = in_background(lambda: work(lab))
    wait_until(lambda: 2 in lab.validated(0))
    shown = io.StringIO()
    second, ended = in_background(lambda: work(lab, console=Console(file=shown)))
    wait_until(lambda: "waiting for 1 trial that other workers run" in shown.getvalue() and len(waits) >= 3)
    assert waits[0] == waits[2]
    (lab.run_dir(0).path / "go").touch()
    first.join(30)
    second.join(30)
    assert ended == [1]


def test_of_idle_threads_one_looks_for_a_trial(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    may_take = Session.may_take

    def look(session: Session) -> bool:
        looked.append(threading.get_ident())
        return may_take(session)

    monkeypatch.setattr(Session, "may_take", look)
    lab.define(enqueue=[GUIDED] * 4)
    lab.order(t0={"hold_at": 2})
    lab.tuner().submit(4)
    worker, ended = in_background(lambda: work(lab, jobs=4))
    wait_until(lambda: len(lab.states()) == 4 and lab.states().count("RUNNING") == 1)
    looked.clear()
    wait_until(lambda: len(looked) >= 8)
    assert len(set(looked)) == 1
    (lab.run_dir(0).path / "go").touch()
    worker.join(30)
    assert ended == [1]


def test_a_study_with_an_unusable_corpus_does_not_keep_others_waiting(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def prepare(config: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if config.corpus.source == "demo:ru":
            raise CorpusRefused("wavs/7.wav: is silent")
        return no_corpus()

    monkeypatch.setattr(smart_tuner.run.corpus, "prepare_corpus", prepare)
    lab.define(enqueue=[GUIDED])
    lab.tuner(overrides={"name": "bad", "corpus": "demo:ru"}).submit(1, check_corpus=False)
    lab.tuner().submit(1)
    assert work(lab) == 1
    assert lab.states() == ["COMPLETE"]
    assert "study 'bad' is left out by this worker: wavs/7.wav: is silent" in caplog.text
    with pytest.raises(CorpusRefused, match="is silent"):
        work(lab, "bad")


def test_the_next_start_takes_over_a_trial_that_could_not_be_given_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(Exception):
        pass

    def away(queue: Queue, trial: Any) -> None:
        raise Away

    lab.define(enqueue=[GUIDED])
    lab.order(t0={"act_once": ["killed"], "at": 3})
    with monkeypatch.context() as broken:
        broken.setattr(Queue, "give_back", away)
        with pytest.raises(Away):
            lab.tuner().optimize(1)
    assert lab.states() == ["RUNNING"]
    assert dict(lab.tuner().optimize(1).states) == {"COMPLETE": 1}
    assert lab.resumed(0) == [False, True]
