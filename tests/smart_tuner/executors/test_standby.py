"""A trainer whose trial ended well, or one that waits, gets the next trial."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from lab import FAKE_TRAINER, is_alive
from waiting import wait_until

from smart_tuner.executors import Launch
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.machine.process_tree import ProcessTree
from tests.contract.test_executors import WHOLE_TRIAL, kinds, prepare
from trainer.protocol import ExitCode, RunDir
from trainer.stopping import STOP_LINE


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    made = LocalExecutor(10.0, FAKE_TRAINER)
    yield made
    made.close()


def trial(folder: Path) -> Launch:
    return prepare(folder, pause=0.05)  # long enough to be seen at work


def run(executor: LocalExecutor, launch: Launch) -> int:
    """The trainer's process number."""
    with executor.launch(launch) as at_work:
        assert kinds(list(at_work.events())) == WHOLE_TRIAL
        return at_work.pid


def standbys(executor: LocalExecutor) -> list[ProcessTree]:
    assert executor._standbys is not None
    return [tree for waiting in executor._standbys._waiting.values() for tree in waiting]


def waiting(executor: LocalExecutor) -> list[int]:
    return [tree.pid for tree in standbys(executor)]


def test_a_trainer_whose_trial_finished_gets_the_next_one(executor: LocalExecutor, tmp_path: Path) -> None:
    first = run(executor, trial(tmp_path / "a"))
    kept, started = waiting(executor)
    assert kept == first
    assert psutil.Process(started).cmdline()[-2:] == ["--like", str(tmp_path / "a" / "config.json")]
    assert run(executor, trial(tmp_path / "b")) == first


def test_so_does_one_whose_trial_was_stopped(executor: LocalExecutor, tmp_path: Path) -> None:
    with executor.launch(prepare(tmp_path / "a", hold_at=1)) as at_work:
        for event in at_work.events():
            if event.data.get("index") == 1:
                at_work.stop()
        assert at_work.exit.exit_code == ExitCode.STOPPED
    assert run(executor, trial(tmp_path / "b")) == at_work.pid


@pytest.mark.parametrize("act", ["crash", "killed", "diverged", "out of memory", "disk full", "bad input"])
def test_one_whose_trial_ended_otherwise_does_not(executor: LocalExecutor, tmp_path: Path, act: str) -> None:
    with executor.launch(prepare(tmp_path / "a", act=[act])) as at_work:
        list(at_work.events())
        assert at_work.exit.exit_code not in (ExitCode.FINISHED, ExitCode.STOPPED)
    assert not is_alive(at_work.pid)
    assert run(executor, trial(tmp_path / "b")) != at_work.pid


def test_nor_does_one_that_somebody_else_stopped(executor: LocalExecutor, tmp_path: Path) -> None:
    with executor.launch(prepare(tmp_path / "a", hold_at=1)) as at_work:
        for event in at_work.events():
            if event.data.get("index") == 1:
                os.kill(at_work.pid, signal.SIGTERM)
        assert event.data == {"reason": "received SIGTERM"}
        assert at_work.exit.exit_code == ExitCode.STOPPED
    assert not is_alive(at_work.pid)


def test_a_trainer_that_is_killed_in_a_later_trial_fails_that_one_alone(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    first = run(executor, trial(tmp_path / "a"))
    with executor.launch(prepare(tmp_path / "b", hold_at=1)) as at_work:
        for event in at_work.events():
            if event.data.get("index") == 1:
                os.kill(first, signal.SIGKILL)
        assert at_work.exit.exit_code == -signal.SIGKILL
    assert run(executor, trial(tmp_path / "c")) != first


def test_a_request_to_stop_or_kill_an_ended_trial_leaves_the_next_one_alone(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    with executor.launch(trial(tmp_path / "a")) as earlier:
        assert kinds(list(earlier.events())) == WHOLE_TRIAL
    with executor.launch(prepare(tmp_path / "b", hold_at=1)) as at_work:
        assert at_work.pid == earlier.pid
        for event in at_work.events():
            if event.data.get("index") == 1:
                earlier.stop()
                earlier.kill()
                earlier.close()
                (tmp_path / "b" / "go").touch()
        assert at_work.exit.exit_code == ExitCode.FINISHED


def test_a_request_that_comes_too_late_is_over_with_the_next_trial(executor: LocalExecutor, tmp_path: Path) -> None:
    first = run(executor, trial(tmp_path / "a"))
    assert executor._standbys is not None
    (waits,) = [tree for trees in executor._standbys._waiting.values() for tree in trees if tree.pid == first]
    waits.send(STOP_LINE)
    assert run(executor, trial(tmp_path / "b")) == first


def test_each_trial_has_its_own_log(executor: LocalExecutor, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(executor, trial(tmp_path / name))
        assert RunDir(tmp_path / name).log.read_text() == "fake trainer at work\n"


def test_there_is_one_trainer_more_than_trials_at_once(executor: LocalExecutor, tmp_path: Path) -> None:
    with ExitStack() as stack:
        launches = [prepare(tmp_path / str(number), hold_at=0) for number in range(3)]
        at_work = [stack.enter_context(executor.launch(launch)) for launch in launches]
        events = [one.events() for one in at_work]
        for of_one in events:
            next(of_one)
            assert len(waiting(executor)) == 1
        (spare,) = waiting(executor)
        last = stack.enter_context(executor.launch(prepare(tmp_path / "next", hold_at=0)))
        assert last.pid == spare
        for launch in launches:
            (launch.run_dir.path / "go").touch()
        for of_one in events:
            list(of_one)
    assert sorted(waiting(executor)) == sorted(one.pid for one in at_work)


def test_a_trainer_that_died_while_waiting_is_replaced(executor: LocalExecutor, tmp_path: Path) -> None:
    run(executor, trial(tmp_path / "a"))
    killed = standbys(executor)
    dead = [tree.pid for tree in killed]
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(tree.has_ended() for tree in killed))  # a little after its first thread is a zombie
    assert run(executor, trial(tmp_path / "b")) not in dead
    assert not set(waiting(executor)) & set(dead)


def test_a_launch_in_another_environment_does_not_get_it(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(executor, trial(tmp_path / "a"))
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    assert run(executor, trial(tmp_path / "b")) != first


def test_a_launch_with_other_threads_does_not_get_it(executor: LocalExecutor, tmp_path: Path) -> None:
    one = trial(tmp_path / "a")
    first = run(executor, one)
    other = Launch(trial(tmp_path / "b").run_dir, one.device, one.threads + 1)
    assert run(executor, other) != first
    assert first in waiting(executor)


def test_a_running_trainer_prepares_the_next_one_and_an_ended_one_does_not(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    with executor.launch(prepare(tmp_path / "a", hold_at=0)) as at_work:
        next(at_work.events())
        assert len(waiting(executor)) == 1
    executor.close()
    with executor.launch(prepare(tmp_path / "never", act=["crash"], at=1)) as at_work:
        os.waitid(os.P_PID, at_work.pid, os.WEXITED | os.WNOWAIT)  # it has ended, with all its threads
        list(at_work.events())
    assert waiting(executor) == []


def test_closing_ends_the_waiting_trainers(executor: LocalExecutor, tmp_path: Path) -> None:
    run(executor, trial(tmp_path / "a"))
    ended = waiting(executor)
    assert len(ended) == 2
    executor.close()
    assert not any(is_alive(pid) for pid in ended)
    assert waiting(executor) == []
