"""The sink that has trials sent to MLflow by a process of its own. If MLflow is unavailable, only that is delayed.

MLflow's library takes seconds to load and 150 MB, which the tuner's process is spared. `process` has the process and
its protocol. Also here: syncs that a command waits for.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psutil

from smart_tuner.child_environment import Child, environment_for
from smart_tuner.errors import MlflowUnavailable, UserError
from smart_tuner.masking import masked, masked_line
from smart_tuner.mlflow_mirror.connection import no_answer
from smart_tuner.mlflow_mirror.mirror import MlflowMirror, Synced
from smart_tuner.mlflow_mirror.process import SyncJob
from smart_tuner.outcome import Outcome
from trainer.protocol import Event

_log = logging.getLogger(__name__)

_COMMAND = ("-P", "-m", "smart_tuner.mlflow_mirror.process")
_SEND_SECONDS = 0.5  # between two messages to the process
_LOOK_SECONDS = 2.5  # between two looks at a finishing process of the lowest priority, if that cannot be raised
_LEAST_CPU = 0.1  # of a core, below which a process that wants to run is starved
_LONGEST_PAUSE = 600.0  # seconds between two starts of a process that keeps exiting


class MlflowSink:
    """Has trials synced by a process of its own, in a session of its own.

    Thread safety: `notify` and `close` may be called from any thread; neither ever raises, and `notify` never waits.

    restart_pause: seconds before the process is started again after it died; doubled each time.
    """

    def __init__(self, job: SyncJob, *, restart_pause: float = 10.0) -> None:
        self._job = job
        self._restart_pause = restart_pause
        self._changed = threading.Condition()
        self._pending: set[int] = set()
        self._closing = False
        self._deadline = 0.0  # of the final sync, on the monotonic clock; read only once _closing is set
        self._process: subprocess.Popen[str] | None = None
        self._is_listening = False  # whether the process runs and reads its input
        self._last_lines: deque[str] = deque(maxlen=3)  # of output beside the protocol, such as a traceback
        self._up_to_date = False
        self._warned = False
        self._thread = threading.Thread(target=self._work, name="mlflow-sink", daemon=True)
        self._thread.start()

    def notify(self, number: int) -> None:
        """Trial `number` has news. Several calls before the next round count as one; after `close` none counts."""
        with self._changed:
            self._pending.add(number)
            self._changed.notify_all()

    def trial_started(
        self,
        number: int,
        params: Mapping[str, Any],
        *,
        history: Sequence[Event] = (),
        resumed: bool,
        promoted: bool = False,
        replicate_of: int | None = None,
    ) -> None:
        self.notify(number)

    def event(self, number: int, event: Event) -> None:
        self.notify(number)

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        self.notify(number)

    def paused_ended(self, number: int, outcome: Outcome) -> None:
        self.notify(number)

    def finish(self, timeout: float) -> None:
        """Start the final sync of the whole study, which ends within `timeout` seconds. Only the first call counts."""
        with self._changed:
            if not self._closing:
                self._closing = True
                self._deadline = time.monotonic() + timeout
                self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """`finish`, and wait for its end; True if MLflow now has everything. An earlier timeout may be shortened."""
        self.finish(timeout)
        with self._changed:
            self._deadline = min(self._deadline, time.monotonic() + timeout)
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if self._thread.is_alive():
            self._kill()
        return self._up_to_date

    @property
    def study(self) -> str:
        return self._job.study

    @property
    def has_started(self) -> bool:
        """Whether the process was started, as it is at the first news."""
        return self._process is not None

    @property
    def is_up_to_date(self) -> bool:
        """After `close`: whether MLflow has everything."""
        return self._up_to_date

    def _work(self) -> None:
        pause = self._restart_pause
        self._wait_for(lambda: self._pending or self._closing)  # a worker opens many studies, and works on few
        self._start()
        while self._send_news_until_exit():
            self._warn(f"its process has exited: {self._exit_report()}")
            if self._wait_for(lambda: self._closing, pause):
                break
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._start()
        self._finish()

    def _send_news_until_exit(self) -> bool:
        """True when the process has exited, False when it is time to finish.

        A process that is started again finds out by itself what is new, so nothing is lost with the one before it."""
        while True:
            self._wait_for(lambda: self._pending or self._closing or not self._is_listening)
            with self._changed:
                if self._closing or not self._is_listening:
                    return not self._closing
                numbers = self._pending
                self._pending = set()
            self._send("".join(f"{number}\n" for number in sorted(numbers)))
            self._wait_for(lambda: self._closing or not self._is_listening, _SEND_SECONDS)

    def _finish(self) -> None:
        self._request_finish()
        code = self._reap(0.0 if self._is_held_back() and self._is_starved() else None)
        # It was killed unnoticed, or other programs leave it no CPU time: one at our own priority takes over.
        if (code is None or code < 0) and self._deadline > time.monotonic():
            self._is_listening = False
            self._request_finish()
            code = self._reap()
        self._up_to_date = code == 0

    def _request_finish(self) -> None:
        if not self._is_listening and self._deadline > time.monotonic():
            self._start(niceness=0)
        self._send(json.dumps({"finish": max(0.0, self._deadline - time.monotonic())}) + "\n")

    def _is_held_back(self) -> bool:
        """Whether the process has a lower priority than we, and cannot get ours: only root can raise a priority."""
        if self._process is None:
            return False
        try:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, os.getpriority(os.PRIO_PROCESS, 0))
        except PermissionError:
            return True
        except OSError:  # it has exited
            pass
        return False

    def _is_starved(self) -> bool:
        """Watch the process until it exits, or until other programs leave it almost no CPU time.

        One that waits for MLflow or for a disk is not starved. False at the deadline, too.
        """
        assert self._process is not None
        try:
            seen = psutil.Process(self._process.pid)
            used = _cpu_seconds(seen)
            looks = 0  # in a row that have found it starved; one alone may be chance
            while looks < 2 and self._deadline > time.monotonic() and self._process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_LOOK_SECONDS)
                before, used = used, _cpu_seconds(seen)
                is_waiting = seen.status() in (psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP)
                looks = looks + 1 if not is_waiting and used - before < _LEAST_CPU * _LOOK_SECONDS else 0
            return looks == 2
        except psutil.Error:  # it has exited
            return False

    def _start(self, niceness: int | None = None) -> None:
        """niceness: instead of that of the job, which is meant for a process beside trials."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, *_COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C must not reach it
                env=environment_for(Child.MLFLOW),  # its job is sent through the pipe
            )
        except OSError as error:  # no process or memory left
            self._process = None
            self._last_lines.append(str(error))
            return
        self._is_listening = True
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()
        job = self._job if niceness is None else replace(self._job, niceness=niceness)
        self._send(job.to_line())

    def _send(self, lines: str) -> None:
        """Blocks while the pipe is full, which only this sink's thread notices."""
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(lines)
            self._process.stdin.flush()
        except (OSError, ValueError):  # ValueError: `_reap` has closed it
            self._is_listening = False

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                try:
                    self._warn(self._masked(json.loads(line)["behind"]))
                except (ValueError, KeyError, TypeError):
                    self._last_lines.append(line.rstrip())
        with self._changed:
            self._is_listening = False
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], object], seconds: float | None = None) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(condition, seconds))

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._thread.join(1.0)

    def _exit_report(self) -> str:
        code = self._reap()  # then all of its output is read
        return f"exit code {code}; {self._masked(' / '.join(self._last_lines)) or 'no output'}"

    def _masked(self, output: str) -> str:
        return masked_line(output, self._job.mirror.tracking_uri, self._job.storage_url)

    def _reap(self, timeout: float | None = None) -> int | None:
        """Wait for the exit of the process; return its exit code, None if it was not started or not done in time."""
        if self._process is None or self._process.stdin is None:
            return None
        with suppress(OSError):  # lines that were not sent are lost
            self._process.stdin.close()
        try:
            code: int | None = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            code = None
        self._listener.join()
        return code

    def _warn(self, reason: str) -> None:
        """Log a warning once; later reasons are logged for debugging."""
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        _log.log(
            level,
            "MLflow at %s is behind (%s). The trials are not affected; it is tried again, and `smart-tuner sync` "
            "brings MLflow up to date at any time.",
            masked(self._job.mirror.tracking_uri),
            reason,
        )


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def sync_now(
    mirror: MlflowMirror,
    storage_url: str,
    *,
    repair: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Synced:
    """Bring MLflow up to date. Raises MlflowUnavailable, with one line of text, if that fails.

    storage_url: of the study, to mask its password; here and below.
    """
    try:
        return mirror.sync_study(repair=repair, progress=progress)
    except UserError:
        raise
    except Exception as error:  # the boundary; a person waits for the result
        if away := no_answer(error):
            raise MlflowUnavailable(
                f"MLflow at {masked(mirror.tracking_uri)} does not answer ({away}). Nothing is lost: the same command "
                "does it once MLflow answers."
            ) from error
        reason = masked_line(error, mirror.tracking_uri, storage_url)
        file = "; a damaged file can be moved away, and everything is sent to a new one"
        raise MlflowUnavailable(
            f"MLflow at {masked(mirror.tracking_uri)} could not be brought up to date "
            f"({type(error).__name__}: {reason}). Nothing is lost: the same command does it once MLflow answers"
            f"{file if mirror.tracking_uri.startswith('sqlite') else ''}."
        ) from error


def known_run_id(mirror: MlflowMirror, storage_url: str, number: int) -> str | None:
    """MLflow's run of a trial; None, with a warning, if MLflow does not answer. The store of studies has the rest."""
    try:
        return mirror.run_id(number)
    except Exception as error:  # the same boundary
        _log.warning(
            "MLflow at %s does not answer (%s); the trial is shown without its run.",
            masked(mirror.tracking_uri),
            no_answer(error) or f"{type(error).__name__}: {masked_line(error, mirror.tracking_uri, storage_url)}",
        )
        return None
