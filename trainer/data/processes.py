"""Work spread over processes that cannot outlive this one.

They are spawned, not forked: this process may have threads. They exit at once when this one ends in any way, and ignore
Ctrl-C, which this one handles. Each has one thread: there are as many processes as cores. Imports the standard library
alone, so that the number of threads is set before the libraries that read it are loaded. As with all spawned processes,
a script that calls this needs its `if __name__ == "__main__"`.
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

from trainer.exit_codes import exit_code_of
from trainer.protocol import ExitCode

Task = TypeVar("Task")
Result = TypeVar("Result")
Step = Callable[[], None]  # called within a task, for each item that is done
Work = Callable[[Task, Step], Result]

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Work[Task, Result], tasks: Sequence[Task], processes: int, step: Step) -> Generator[Result]:
    """Yield `work(task, step)` for each task, in the order in which they end. With one process, it is this one.

    `work` must be importable. Raises RuntimeError where a process fails, which has printed the reason on standard
    error; MemoryError or OSError where it had too little memory or disk space. Closing the iterator ends the processes.
    """
    if processes < 2:
        for task in tasks:
            yield work(task, step)
        return
    waiting = deque(tasks)
    workers = dict[Connection, BaseProcess]()
    try:
        for _ in range(min(processes, len(tasks))):
            connection, process = _start_worker()
            workers[connection] = process
        for kind, value, connection in _messages(workers, len(tasks)):
            if kind == "step":
                step()
                continue
            if waiting:
                connection.send((work, waiting.popleft()))
            if kind == "done":
                yield value
    finally:
        for process in workers.values():
            process.kill()
        for process in workers.values():
            process.join()


def _messages(workers: dict[Connection, BaseProcess], tasks: int) -> Iterator[tuple[str, Any, Connection]]:
    """The workers' messages, until `tasks` are done."""
    while tasks:
        for connection in wait(list(workers)):
            assert isinstance(connection, Connection)
            try:
                kind, value = connection.recv()
            except (EOFError, ConnectionError):
                process = workers[connection]
                process.join()
                raise _failure(process.exitcode) from None
            tasks -= kind == "done"
            yield kind, value, connection


def _failure(code: int | None) -> Exception:
    if code == ExitCode.NO_SPACE:
        return OSError(errno.ENOSPC, "A process that prepares the corpus could not write. Finished work is kept")
    if code == ExitCode.OUT_OF_MEMORY:
        return MemoryError("in a process that prepares the corpus. Finished work is kept.")
    return RuntimeError(
        f"A process that prepares the corpus ended with exit code {code} (a negative one is a signal; -9 often means "
        "too little memory). Finished work is kept: start again to continue."
    )


def _start_worker() -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # or the worker's end would not close our side
    return ours, process


def _serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_with_parent, name="watch-parent", daemon=True).start()
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))

    def step() -> None:
        connection.send(("step", None))

    try:
        connection.send(("free", None))
        while True:
            work, task = connection.recv()
            connection.send(("done", work(task, step)))
    except (EOFError, ConnectionError):  # the parent is gone, or closed the connection
        return
    except Exception as error:
        with suppress(OSError):  # standard error may be a log on a full disk
            traceback.print_exc()
        os._exit(exit_code_of(error))


def _exit_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
