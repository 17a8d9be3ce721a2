"""Work spread over processes that cannot outlive this one.

They are spawned, not forked: this process may have threads. They leave at once when it is gone, however it ended, and
leave Ctrl-C to it. One thread each: there are as many of them as cores. The standard library alone is imported here,
so that the number of threads is set before the libraries that read it. As everywhere where processes are spawned, a
script that comes here needs its `if __name__ == "__main__"`.
"""

import errno
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, TypeVar

from trainer.faults import exit_code_of
from trainer.protocol import ExitCode

Task = TypeVar("Task")
Result = TypeVar("Result")
Step = Callable[[], None]  # called within a task: one more thing is done
Work = Callable[[Task, Step], Result]

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Work[Task, Result], tasks: Sequence[Task], processes: int, step: Step) -> Generator[Result]:
    """Yield `work(task, step)` for each task, in the order in which they end. One process: this one does it.

    `work` must be importable. Raises RuntimeError where a process fails; it has told why on standard error. For lack of
    memory or of space on the disk it is MemoryError or OSError. Close the iterator, and the processes are gone.
    """
    if processes < 2:
        for task in tasks:
            yield work(task, step)
        return
    waiting, team = deque(tasks), dict[Connection, BaseProcess]()
    try:
        for _ in range(min(processes, len(tasks))):
            connection, process = _hire()
            team[connection] = process
        for kind, value, connection in _messages(team, len(tasks)):
            if kind == "step":
                step()
                continue
            if waiting:
                connection.send((work, waiting.popleft()))
            if kind == "done":
                yield value
    finally:
        for process in team.values():
            process.kill()
        for process in team.values():
            process.join()


def _messages(team: dict[Connection, BaseProcess], tasks: int) -> Iterator[tuple[str, Any, Connection]]:
    """What the processes say, until `tasks` are done."""
    while tasks:
        for connection in wait(list(team)):
            assert isinstance(connection, Connection)
            try:
                kind, value = connection.recv()
            except (EOFError, ConnectionError):
                process = team[connection]
                process.join()
                raise _failure(process.exitcode) from None
            tasks -= kind == "done"
            yield kind, value, connection


def _failure(code: int | None) -> Exception:
    if code == ExitCode.NO_SPACE:
        return OSError(errno.ENOSPC, "A process that prepares the corpus could not write. What is done is kept")
    if code == ExitCode.OUT_OF_MEMORY:
        return MemoryError("of a process that prepares the corpus. What is done is kept.")
    return RuntimeError(
        f"A process that prepares the corpus ended with exit code {code} (a negative one is a signal; -9 often means "
        "too little memory). What is done is kept: start again to go on."
    )


def _hire() -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # else its death could not be seen on ours
    return ours, process


def _serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_leave_with_parent, name="watch-parent", daemon=True).start()
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))

    def step() -> None:
        connection.send(("step", None))

    try:
        connection.send(("free", None))
        while True:
            work, task = connection.recv()
            connection.send(("done", work(task, step)))
    except (EOFError, ConnectionError):  # the parent is gone, or wants no more
        return
    except Exception as error:
        with suppress(OSError):  # standard error may be a log on the disk that is full
            traceback.print_exc()
        os._exit(exit_code_of(error))


def _leave_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
