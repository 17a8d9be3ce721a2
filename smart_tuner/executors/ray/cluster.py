"""The connection of this process to a Ray cluster: opened when it is first needed, closed by the object that opened it.

A separate thread holds it. Ray's processes on this machine die with the thread that started them, and the thread that
launched the first trial may end before the last trial. In the main thread Ray would take over SIGTERM.
"""

import logging
import os
import socket
import threading
from typing import Any

from smart_tuner.child_environment import Child, hidden_secrets
from smart_tuner.errors import SettingsError
from trainer.installing import extra_command

CONNECT_SECONDS = 20.0
_REACH_SECONDS = 10.0


class Connection:
    """Thread-safe. A connection that the process already has is used as it is.

    address: `host:port` of the cluster's head; `auto`: the cluster that this machine is part of; None: a new cluster of
    this machine alone.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def open(self) -> None:
        """Raises SettingsError where Ray is not installed, or no cluster answers within about 20 seconds."""
        with self._lock:
            ray = _installed_ray()
            if ray.is_initialized():
                return
            if self._address is not None:
                _check_answers(self._address)
            self._over = threading.Event()
            self._start()

    def _start(self) -> None:
        ready, failed = threading.Event(), []

        def hold() -> None:
            try:
                _connect(self._address)
            except Exception as error:  # raised again in the caller's thread
                failed.append(error)
                return
            finally:
                ready.set()
            self._over.wait()
            _installed_ray().shutdown()

        self._thread = threading.Thread(target=hold, name="ray-connection", daemon=True)
        self._thread.start()
        # Starting a new cluster takes longer than connecting to one.
        answered = ready.wait(CONNECT_SECONDS if self._address else 6 * CONNECT_SECONDS)
        if failed or not answered:
            self._over.set()
            self._thread = None
            reason = _first_line(failed[0]) if failed else f"no answer within {CONNECT_SECONDS:g} seconds"
            raise SettingsError(_refused(self._address, reason)) from (failed[0] if failed else None)

    def close(self) -> None:
        """End the connection if this object opened it, and the cluster if it was started for it."""
        with self._lock:
            if self._thread is not None:
                self._over.set()
                self._thread.join()
                self._thread = None


def _connect(address: str | None) -> None:
    ray = _installed_ray()
    with hidden_secrets(Child.RAY):  # the processes of a new cluster keep the environment
        ray.init(
            address=address or "local",
            namespace="smart-tuner",
            log_to_driver=False,
            include_dashboard=False,
            logging_level=logging.ERROR,
        )


def _installed_ray() -> Any:
    # Ray reads these at its import. No usage statistics are sent, and SIGTERM is not reported as a crash.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            f"`executor`: ray needs a package that is not installed; install it ({extra_command('ray')}), or set the "
            "executor to local."
        ) from error
    return ray


def _check_answers(address: str) -> None:
    """Fail fast: Ray itself tries for a minute, with much output."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return  # `auto`, or a form that Ray may know
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SettingsError(_refused(address, str(error))) from error


def _refused(address: str | None, reason: str) -> str:
    if address is None:
        return f"`executor`: no Ray cluster could be started on this machine: {reason}."
    return (
        f"`ray_address`: no Ray cluster answers at {address!r}: {reason.rstrip('.')}. Start one with `ray start "
        f"--head` there and `ray start --address={address}` here and on the other nodes, or correct the address."
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
