"""A standby trainer gets the next trial, if it is alive."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from lab import FAKE_TRAINER, is_alive
from waiting import wait_until

from smart_tuner.executors import Launch
from smart_tuner.executors.local import LocalExecutor
from smart_tuner.executors.standby import MOST
from tests.contract.test_executors import WHOLE_TRIAL, kinds, prepare


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


def waiting(executor: LocalExecutor) -> list[int]:
    assert executor._standbys is not None
    return [process.pid for waiting in executor._standbys._waiting.values() for process in waiting]


def test_the_waiting_trainer_gets_the_next_trial(executor: LocalExecutor, tmp_path: Path) -> None:
    run(executor, trial(tmp_path / "a"))
    (first,) = waiting(executor)
    assert run(executor, trial(tmp_path / "b")) == first
    assert waiting(executor) != [first]


def test_trials_that_began_at_once_have_a_successor_prepared_each_up_to_a_limit(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        launches = [prepare(tmp_path / str(number), hold_at=0) for number in range(MOST + 1)]
        at_work = [stack.enter_context(executor.launch(launch)) for launch in launches]
        for number, run in enumerate(at_work, start=1):
            next(run.events())
            assert len(waiting(executor)) == min(number, MOST)
        longest, *others = waiting(executor)
        taken = stack.enter_context(executor.launch(prepare(tmp_path / "next", hold_at=0)))
        assert taken.pid == longest
        next(taken.events())
        assert waiting(executor)[:-1] == others


def test_a_trainer_that_died_while_waiting_is_replaced(executor: LocalExecutor, tmp_path: Path) -> None:
    run(executor, trial(tmp_path / "a"))
    (dead,) = waiting(executor)
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: not is_alive(dead))
    assert run(executor, trial(tmp_path / "b")) != dead
    assert len(waiting(executor)) == 1


def test_a_launch_with_other_threads_does_not_get_it(executor: LocalExecutor, tmp_path: Path) -> None:
    one = trial(tmp_path / "a")
    run(executor, one)
    (first,) = waiting(executor)
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


def test_closing_ends_the_waiting_trainer(executor: LocalExecutor, tmp_path: Path) -> None:
    run(executor, trial(tmp_path / "a"))
    (first,) = waiting(executor)
    executor.close()
    assert not is_alive(first)
    assert waiting(executor) == []
