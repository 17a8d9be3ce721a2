"""Worker processes do all tasks, their end is reported, and they never outlive their parent."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from process_tasks import die, loaded, square, threads
from waiting import wait_until, wait_until_gone

from trainer.data.processes import THREAD_SETTINGS, Workers, cores, spread

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.mark.parametrize("processes", [1, 2])
def test_every_task_is_done_once(processes: int) -> None:
    steps = []
    results = list(spread(square, range(20), processes, lambda: steps.append(1)))
    assert sorted(result for result, _ in results) == [i * i for i in range(20)]
    assert len(steps) == 20
    assert ({pid for _, pid in results} == {os.getpid()}) == (processes == 1)


def test_the_same_processes_do_one_list_of_tasks_after_another() -> None:
    with Workers(2) as workers:
        first = {pid for _, pid in workers.each(square, range(20), lambda: None)}
        second = list(workers.each(square, range(20, 40), lambda: None))
        assert not list(workers.each(square, [], lambda: None))
        used = first | {pid for _, pid in second}  # one of the two may be too late for a task of the first list
        running = [psutil.Process(pid) for pid in used]
    assert sorted(result for result, _ in second) == [i * i for i in range(20, 40)]
    assert len(used) <= 2
    assert not any(process.is_running() for process in running)


def test_modules_are_imported_before_the_first_task() -> None:
    with Workers(2, ["process_tasks", "calendar"]) as workers:
        assert list(workers.each(loaded, ["calendar", "calendar"], lambda: None)) == [True, True]
        assert list(workers.each(loaded, ["turtle", "turtle"], lambda: None)) == [False, False]


def test_a_process_that_ends_between_two_lists_of_tasks_is_reported() -> None:
    with Workers(2, ["process_tasks"]) as workers:
        pids = {pid for _, pid in workers.each(square, range(20), lambda: None)}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="exit code -9"):
            list(workers.each(square, range(20), lambda: None))


def test_a_process_has_one_thread() -> None:
    found = list(spread(threads, THREAD_SETTINGS, 2, lambda: None))
    assert found == ["1"] * len(THREAD_SETTINGS)


def test_the_death_of_a_process_is_reported() -> None:
    with pytest.raises(RuntimeError, match="exit code 7"):
        list(spread(die, [7, 7], 2, lambda: None))


def test_too_little_memory_and_disk_space_have_their_own_errors() -> None:
    with pytest.raises(MemoryError, match="prepares the corpus"):
        list(spread(die, [12, 12], 2, lambda: None))
    with pytest.raises(OSError, match="prepares the corpus") as full:
        list(spread(die, [13, 13], 2, lambda: None))
    assert full.value.errno == errno.ENOSPC


def test_a_full_disk_is_reported_even_where_the_log_is_on_it() -> None:
    script = (
        "import functools, os; from trainer.data.processes import spread\n"
        "try: list(spread(functools.partial(print, flush=True), [1, 2], 2, lambda: None))\n"
        "except OSError as error: os._exit(error.errno)"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=full, check=False)
    assert done.returncode == errno.ENOSPC


def test_only_the_cores_that_this_process_may_use_are_counted() -> None:
    command = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    command += "from trainer.data.processes import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", command], capture_output=True, text=True).stdout == "1\n"
    assert cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    # Sets a handler for SIGINT: a shell may start a background process with SIGINT ignored.
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from pathlib import Path;"
        "from process_tasks import sleep_for_a_minute; from trainer.data.processes import spread;"
        f"list(spread(sleep_for_a_minute, [Path({str(tmp_path)!r})] * 3, 3, lambda: None))"
    )
    environment = os.environ | {"PYTHONPATH": str(SUPPORT)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL) as parent:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 3)
        workers = [psutil.Process(int(path.name)) for path in tmp_path.iterdir()]
        parent.send_signal(number)
        wait_until_gone(workers)
        parent.wait(timeout=10)
