"""All descendants of a trainer end with it, in whatever group they are; no number that may be reused is signalled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import psutil
import pytest
from waiting import wait_until, wait_until_gone

from smart_tuner.machine import process_tree
from smart_tuner.machine.process_tree import ProcessTree, is_trainer, mark_of

# Starts one child in a session of its own, prints its number, then runs `then`.
WITH_CHILD = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True{more})
print(child.pid, flush=True)
{then}
"""
ORPHAN = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]])
input()
"""
Begin = Callable[..., ProcessTree]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    begun = []

    def begin(*command: str) -> ProcessTree:
        with (tmp_path / "output").open("ab") as output:
            begun.append(ProcessTree([sys.executable, "-c", *command], os.environ, output))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """All signals that are sent to groups."""
    sent = []
    killpg = os.killpg

    def send(group: int, number: int) -> None:
        sent.append((group, number))
        killpg(group, number)

    monkeypatch.setattr(process_tree.os, "killpg", send)
    return sent


def child_told_in(folder: Path) -> psutil.Process:
    return psutil.Process(int(wait_until((folder / "output").read_text)))


def test_a_child_in_a_session_of_its_own_is_killed(begin: Begin, tmp_path: Path) -> None:
    one = begin(WITH_CHILD.format(more="", then="input()"))
    child = child_told_in(tmp_path)
    assert os.getsid(child.pid) == child.pid
    one.kill()
    wait_until_gone([child])
    one.end()
    assert one.exit_code == -signal.SIGKILL
    assert one.pids >= {one.pid, child.pid}


def test_so_is_a_child_whose_trainer_has_ended(begin: Begin, tmp_path: Path) -> None:
    one = begin(WITH_CHILD.format(more="", then=""))
    child = child_told_in(tmp_path)
    wait_until(one.has_ended)
    assert child.is_running()
    one.end()
    wait_until_gone([child], seconds=0.5)
    assert one.exit_code == 0


def test_so_is_a_grandchild_whose_parent_has_ended(begin: Begin, tmp_path: Path) -> None:
    one = begin(ORPHAN, WITH_CHILD.format(more="", then=""))
    child = child_told_in(tmp_path)
    wait_until(lambda: child.ppid() != one.pid and not psutil.Process(one.pid).children())
    one.end()
    wait_until_gone([child], seconds=0.5)


def test_so_is_a_child_that_wiped_its_environment(begin: Begin, tmp_path: Path) -> None:
    one = begin(WITH_CHILD.format(more=", env={}", then="input()"))
    child = child_told_in(tmp_path)
    wait_until(lambda: len(child.cmdline()) == 3 and not child.environ())
    one.end()
    wait_until_gone([child], seconds=0.5)


def test_other_processes_are_left_alone(begin: Begin) -> None:
    one, other = begin("input()"), begin("input()")
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    one.end()
    assert not other.has_ended()
    assert bystander.poll() is None
    bystander.communicate(b"\n")


def test_checking_whether_it_has_ended_does_not_reap_it(begin: Begin) -> None:
    one = begin("")
    wait_until(one.has_ended)
    assert one.wait(0)
    assert one.exit_code is None
    assert psutil.Process(one.pid).status() == psutil.STATUS_ZOMBIE
    one.end()
    assert one.exit_code == 0
    assert not psutil.pid_exists(one.pid)


def test_nothing_is_signalled_after_the_end(begin: Begin, signals: list[tuple[int, int]]) -> None:
    one = begin("input()")
    one.end()
    assert (one.pid, signal.SIGKILL) in signals
    before = len(signals)
    one.end()
    one.kill()
    one.signal(signal.SIGTERM)
    assert len(signals) == before


def test_a_trainer_that_other_code_reaped_is_not_signalled(begin: Begin, signals: list[tuple[int, int]]) -> None:
    one = begin("")
    os.waitpid(one.pid, 0)
    assert one.has_ended()
    one.end()
    assert signals == []


def test_without_waitid_the_end_is_recognised_as_well(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(process_tree.os, "waitid")
    one = begin("import sys; input(); sys.exit(3)")
    assert not one.has_ended()
    one.send(b"\n")
    wait_until(one.has_ended)
    one.end()
    assert one.exit_code == 3


def test_a_trainer_is_recognised_by_its_mark(begin: Begin) -> None:
    one = begin("input()")
    wait_until(lambda: is_trainer(one.pid))
    assert not is_trainer(os.getpid())
    assert not is_trainer(4_194_305)
    gone = psutil.Process(one.pid)
    one.end()
    assert mark_of(gone) is None


def test_a_process_that_cannot_be_killed_is_logged(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    one = begin(WITH_CHILD.format(more="", then=""))
    child = child_told_in(tmp_path)
    wait_until(one.has_ended)
    monkeypatch.setattr(process_tree, "GONE_SECONDS", 0.2)
    monkeypatch.setattr(process_tree, "_kill", lambda processes: None)
    one.end()
    assert f"process {child.pid} of trainer {one.pid} was killed and is still there" in caplog.text
    child.kill()


def test_a_trainer_that_outlives_its_kill_is_logged_and_waited_for(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one in a sleep that no signal ends."""
    one = begin("input()")
    monkeypatch.setattr(process_tree, "GONE_SECONDS", 0.05)
    monkeypatch.setattr(process_tree, "_LOOK_SECONDS", 0.02)
    send = one.signal
    monkeypatch.setattr(one, "signal", lambda number: Timer(0.3, send, [number]).start())
    one.end()
    assert one.exit_code == -signal.SIGKILL
    assert caplog.text.count(f"trainer {one.pid} was killed and is still there") == 1
    assert "its slot waits" in caplog.text


def test_a_tuner_that_is_to_exit_leaves_a_trainer_that_outlives_its_kill(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = begin("import time; time.sleep(600)")
    monkeypatch.setattr(process_tree, "LEAVE_SECONDS", 0.3)
    monkeypatch.setattr(process_tree, "_LOOK_SECONDS", 0.02)
    asked = time.monotonic()
    with monkeypatch.context() as asleep:
        asleep.setattr(one, "signal", lambda number: None)  # as in a sleep that no signal ends
        one.end(lambda: time.monotonic() - asked > 0.1)
    assert time.monotonic() - asked >= 0.3
    assert not one.has_ended()
    assert one.exit_code is None
    assert len(caplog.records) == 1
    assert f"trainer {one.pid} was killed and is still there" in caplog.text
    assert "restart the machine" in caplog.text
    one.end()
    assert one.exit_code == -signal.SIGKILL


def test_a_trainer_that_was_not_killed_is_not_left(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    one = begin("input()")
    monkeypatch.setattr(process_tree, "LEAVE_SECONDS", 0.0)
    assert not one.is_left(lambda: True)
    with monkeypatch.context() as asleep:
        asleep.setattr(one, "signal", lambda number: None)
        one.kill()
        assert not one.is_left(lambda: False)
        assert one.is_left(lambda: True)
    one.end()
    assert not one.is_left(lambda: True)
