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
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
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
    """As `Workers.each`, with processes that are started now; closing the iterator ends them."""
    with Workers(min(processes, len(tasks))) as workers:
        yield from workers.each(work, tasks, step)


class Workers:
    """Processes that wait for tasks, and end with the block. Fewer than two are none: this process does the tasks.

    modules: what they import at once, while this process does something else.
    """

    def __init__(self, processes: int, modules: Sequence[str] = ()) -> None:
        self._processes: dict[Connection, BaseProcess] = {}
        self._free: deque[Connection] = deque()
        self._count = processes if processes > 1 else 0
        self._modules = tuple(modules)

    def __enter__(self) -> "Workers":
        try:
            for _ in range(self._count):
                connection, process = _start_worker(self._modules)
                self._processes[connection] = process
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def each(self, work: Work[Task, Result], tasks: Iterable[Task], step: Step) -> Iterator[Result]:
        """Yield `work(task, step)` for each task, in the order in which they end.

        `work` must be importable. Raises RuntimeError where a process fails, which has printed the reason on standard
        error; MemoryError or OSError where it had too little memory or disk space. One call at a time.
        """
        if not self._processes:
            for task in tasks:
                yield work(task, step)
            return
        waiting = deque(tasks)
        left = len(waiting)
        self._hand_out(work, waiting)
        while left:
            for kind, value in self._messages():
                self._hand_out(work, waiting)
                if kind == "step":
                    step()
                elif kind == "done":
                    left -= 1
                    yield value

    def _hand_out(self, work: Work[Task, Result], waiting: deque[Task]) -> None:
        while waiting and self._free:
            with suppress(ConnectionError):  # it has ended, which the next message says
                self._free.popleft().send((work, waiting.popleft()))

    def _messages(self) -> Iterator[tuple[str, Any]]:
        """All that are there, at least one. After "free" and "done" a worker takes another task."""
        for connection in wait(list(self._processes)):
            assert isinstance(connection, Connection)
            try:
                kind, value = connection.recv()
            except (EOFError, ConnectionError):
                process = self._processes[connection]
                process.join()
                raise _failure(process.exitcode) from None
            if kind != "step":
                self._free.append(connection)
            yield kind, value

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.join()


def _failure(code: int | None) -> Exception:
    if code == ExitCode.NO_SPACE:
        return OSError(errno.ENOSPC, "A process that prepares the corpus could not write. Finished work is kept")
    if code == ExitCode.OUT_OF_MEMORY:
        return MemoryError("in a process that prepares the corpus. Finished work is kept.")
    return RuntimeError(
        f"A process that prepares the corpus ended with exit code {code} (a negative one is a signal; -9 often means "
        "too little memory). Finished work is kept: start again to continue."
    )


def _start_worker(modules: Sequence[str]) -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, modules), daemon=True)
    process.start()
    theirs.close()  # or the worker's end would not close our side
    return ours, process


def _serve(connection: Connection, modules: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_with_parent, name="watch-parent", daemon=True).start()
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))

    def step() -> None:
        connection.send(("step", None))

    try:
        for name in modules:
            import_module(name)
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
