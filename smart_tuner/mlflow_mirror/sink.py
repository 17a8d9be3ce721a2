"""Tells the process that keeps MLflow up to date of trials' news: an outage of MLflow delays it, nothing else.

MLflow's library takes seconds to load and 150 MB, which are not the tuner's here; what that process does, and how it is
spoken to, is in `process`. Also here: bringing MLflow up to date while somebody waits for it.
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

from smart_tuner.errors import MlflowUnavailable, UserError
from smart_tuner.masking import masked, masked_line, without_secrets
from smart_tuner.mlflow_mirror.mirror import MlflowMirror, Synced
from smart_tuner.mlflow_mirror.process import Order
from smart_tuner.verdict import Verdict
from trainer.protocol import Event

_log = logging.getLogger(__name__)

_COMMAND = ("-P", "-m", "smart_tuner.mlflow_mirror.process")
_LINES_SECONDS = 0.5  # between two times that the process is told anything
_STARVED_SECONDS = 5.0  # that a process at the lowest priority has for the rest, if it may not have ours
_LONGEST_PAUSE = 600.0  # seconds between two starts of a process that does not stay


class MlflowSink:
    """Has the trials synced that it is told of, by a process of its own, in a session of its own.

    Thread safety: `notify` and `close` may be called from any thread; neither ever raises, and `notify` never waits.

    restart_pause: seconds before the process is begun again when it has died; doubled each time.
    """

    def __init__(self, order: Order, *, restart_pause: float = 10.0) -> None:
        self._order = order
        self._restart_pause = restart_pause
        self._changed = threading.Condition()
        self._pending: set[int] = set()
        self._closing = False
        self._deadline = 0.0  # of the final sync, on the monotonic clock; read only once _closing is set
        self._process: subprocess.Popen[str] | None = None
        self._hears = False  # whether the process is there to be told anything
        self._last_lines: deque[str] = deque(maxlen=3)  # beside the protocol, such as a traceback's
        self._up_to_date = False
        self._warned = False
        self._thread = threading.Thread(target=self._work, name="mlflow-sink", daemon=True)
        self._thread.start()

    def notify(self, number: int) -> None:
        """Trial `number` has news. Several notices before the next round count as one; after `close` none counts."""
        with self._changed:
            self._pending.add(number)
            self._changed.notify_all()

    def trial_started(
        self, number: int, params: Mapping[str, Any], *, history: Sequence[Event] = (), resumed: bool
    ) -> None:
        self.notify(number)

    def event(self, number: int, event: Event) -> None:
        self.notify(number)

    def trial_ended(self, number: int, verdict: Verdict) -> None:
        self.notify(number)

    def finish(self, timeout: float) -> None:
        """Begin to bring the whole study up to date, within `timeout` seconds. The first call decides."""
        with self._changed:
            if not self._closing:
                self._closing, self._deadline = True, time.monotonic() + timeout
                self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """`finish`, and wait for its end; True if MLflow now has everything. A shorter timeout than before counts."""
        self.finish(timeout)
        with self._changed:
            self._deadline = min(self._deadline, time.monotonic() + timeout)
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if self._thread.is_alive():
            self._kill()
        return self._up_to_date

    @property
    def study(self) -> str:
        return self._order.study

    @property
    def has_begun(self) -> bool:
        """Whether it has a process, as it has from the first news on."""
        return self._process is not None

    @property
    def is_up_to_date(self) -> bool:
        """After `close`: whether MLflow has everything."""
        return self._up_to_date

    def _work(self) -> None:
        pause = self._restart_pause
        self._wait_for(lambda: self._pending or self._closing)  # a worker has many studies open, and works on few
        self._start()
        while self._tell_news_until_it_ends():
            self._warn(f"its process has ended: {self._last_words()}")
            if self._wait_for(lambda: self._closing, pause):
                break
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._start()
        self._finish()

    def _tell_news_until_it_ends(self) -> bool:
        """True when the process has ended, False when it is time to finish.

        One that is begun again looks for itself what is new: nothing is lost that was told to the one before it."""
        while True:
            self._wait_for(lambda: self._pending or self._closing or not self._hears)
            with self._changed:
                if self._closing or not self._hears:
                    return not self._closing
                numbers, self._pending = self._pending, set()
            self._tell("".join(f"{number}\n" for number in sorted(numbers)))
            self._wait_for(lambda: self._closing or not self._hears, _LINES_SECONDS)

    def _finish(self) -> None:
        self._tell_to_finish()
        code = self._reap(_STARVED_SECONDS if self._is_held_back() else None)
        # It was killed, as we had not noticed, or other programs leave it no time: one at our own priority does it.
        if (code is None or code < 0) and self._deadline > time.monotonic():
            self._hears = False
            self._tell_to_finish()
            code = self._reap()
        self._up_to_date = code == 0

    def _tell_to_finish(self) -> None:
        if not self._hears and self._deadline > time.monotonic():
            self._start(niceness=0)
        self._tell(json.dumps({"finish": max(0.0, self._deadline - time.monotonic())}) + "\n")

    def _is_held_back(self) -> bool:
        """Whether the process has a lower priority than we, and may not have ours: only root can give it back."""
        if self._process is None:
            return False
        try:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, os.getpriority(os.PRIO_PROCESS, 0))
        except PermissionError:
            return True
        except OSError:  # it has ended
            pass
        return False

    def _start(self, niceness: int | None = None) -> None:
        """niceness: other than that of the order, which is for a process beside trials."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, *_COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is not for it
                env=without_secrets(os.environ),  # its order comes through the pipe
            )
        except OSError as error:  # no process or memory left
            self._process = None
            self._last_lines.append(str(error))
            return
        self._hears = True
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()
        order = self._order if niceness is None else replace(self._order, niceness=niceness)
        self._tell(order.to_line())

    def _tell(self, lines: str) -> None:
        """Blocks while the pipe is full: of this nobody but this sink's thread takes notice."""
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(lines)
            self._process.stdin.flush()
        except (OSError, ValueError):  # the second: it was reaped
            self._hears = False

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                try:
                    self._warn(self._heard(json.loads(line)["behind"]))
                except (ValueError, KeyError, TypeError):
                    self._last_lines.append(line.rstrip())
        with self._changed:
            self._hears = False
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], object], seconds: float | None = None) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(condition, seconds))

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._thread.join(1.0)

    def _last_words(self) -> str:
        code = self._reap()  # and all that it said is read
        return f"exit code {code}; {self._heard(' / '.join(self._last_lines)) or 'it said nothing'}"

    def _heard(self, words: str) -> str:
        return masked_line(words, self._order.mirror.tracking_uri, self._order.storage_url)

    def _reap(self, timeout: float | None = None) -> int | None:
        """Wait for the end of the process; its exit code, None where it could not be begun or was not done in time."""
        if self._process is None or self._process.stdin is None:
            return None
        with suppress(OSError):  # what it was not told any more
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
        """Once; what follows is for who debugs."""
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        _log.log(
            level,
            "MLflow at %s is behind (%s). The trials are not affected; it is tried again, and `smart-tuner sync` "
            "brings MLflow up to date at any time.",
            masked(self._order.mirror.tracking_uri),
            reason,
        )


def sync_now(
    mirror: MlflowMirror,
    storage_url: str,
    *,
    repair: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Synced:
    """Bring MLflow up to date. Raises MlflowUnavailable, in one line, where that fails.

    storage_url: of the study, whose password is not shown, either; here and below.
    """
    try:
        return mirror.sync_study(repair=repair, progress=progress)
    except UserError:
        raise
    except Exception as error:  # the boundary, for who asked for it and wants to know
        reason = masked_line(error, mirror.tracking_uri, storage_url)
        file = "; a file that is broken can be moved away, and all is sent to a new one"
        raise MlflowUnavailable(
            f"MLflow at {masked(mirror.tracking_uri)} could not be brought up to date "
            f"({type(error).__name__}: {reason}). Nothing is lost: the same command does it once MLflow answers"
            f"{file if mirror.tracking_uri.startswith('sqlite') else ''}."
        ) from error


def known_run_id(mirror: MlflowMirror, storage_url: str, number: int) -> str | None:
    """MLflow's run of a trial; None, with a warning, where MLflow does not answer, since SQL knows all the rest."""
    try:
        return mirror.run_id(number)
    except Exception as error:  # the same boundary: a store that fails in whatever way
        _log.warning(
            "MLflow at %s does not answer (%s: %s); the trial is shown without its run.",
            masked(mirror.tracking_uri),
            type(error).__name__,
            masked_line(error, mirror.tracking_uri, storage_url),
        )
        return None
