"""One trial on a Ray cluster, on the tuner's side: sends what the trial needs, fetches what it writes.

Everything is first written into the trial's directory here: events in their order, in whole lines, and before them the
files that they name. So a trial whose node is lost continues elsewhere from the files here.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, ObjectLostError, RayError, RayTaskError

from smart_tuner.errors import SettingsError
from smart_tuner.executors import Exit, Launch
from smart_tuner.executors.local import log_tail, truncate_log
from smart_tuner.executors.ray.node import NodeInfo, StartRequest, StopKind, Update, code_version
from smart_tuner.executors.ray.transfer import FEATURES, Packed, SharedFiles, Uploads, files_read, pack
from smart_tuner.executors.ray.updates import FOLDERS, LAST, LOG, SUSPECTS, Appended, Delivery, Received, Replaced
from trainer.files import write_atomically
from trainer.protocol import Event, EventReader, ExitCode

POLL_SECONDS = 1.0  # a call of `update` lasts at most so long if there is nothing new
_CHECK_SECONDS = 0.5  # between two checks whether a running call is still needed
_UNREACHABLE_SECONDS = 30.0  # after which a node that cannot be reached, or does not stop, is lost
_KILL_SECONDS = 10.0
_END_SECONDS = 45.0  # a GPU's memory may take that long to be free


class NodeLost(Exception):
    """The node, or the process with the trial there, does not answer."""


class RayRun:
    """See `smart_tuner.executors.Run`. The trainer starts with the first step of `events`."""

    def __init__(
        self,
        actor: Any,
        launch: Launch,
        uploads: Uploads,
        grace_seconds: float,
        command: tuple[str, ...] | None,
        check_capacity: Callable[[], None],
    ) -> None:
        """actor: handle of a `NodeTrial`. check_capacity: raises where no node could ever run the trial."""
        self._actor = actor
        self._launch = launch
        self._run_dir = launch.run_dir
        self._uploads = uploads
        self._grace = grace_seconds
        self._command = command
        self._check_capacity = check_capacity
        self._stop_kind: StopKind | None = None
        self._give_up_at: float | None = None
        self._lock = threading.RLock()  # a signal may come while a signal is handled
        self._tensorboard = launch.run_dir.path / "tensorboard"  # `events` sets that of the configuration
        self._begun = False
        self._host = ""
        self._received = Received(0)
        self._reader = EventReader(self._run_dir.events, launch.offset)
        self._exit: Exit | None = None
        self.folder: Path | None = None  # on the node, once the trainer has started there

    def events(self) -> Iterator[Event]:
        _end_line(self._run_dir.events)
        config = json.loads(self._run_dir.config.read_text(encoding="utf-8"))
        self._tensorboard = Path(config.get("paths", {}).get("tensorboard", self._run_dir.path / "tensorboard"))
        yield from self._reader.read()
        steps = self._run_on_node(config)
        while True:
            try:
                exit_code = next(steps)
            except NodeLost as lost:
                where = f" ({self._host}: {lost})" if self._host else f" ({lost})"
                self._exit = Exit(-signal.SIGKILL, log_tail(self._run_dir.log), f"the node that ran it is gone{where}")
                return
            except OSError as error:  # a fault of the disk here, to which the node's files could not be written
                self._exit = Exit(ExitCode.NO_SPACE, f"{type(error).__name__}: {error}")
                return
            yield from self._reader.read()
            if exit_code is not None:
                self._exit = Exit(exit_code, log_tail(self._run_dir.log))
                return

    @property
    def exit(self) -> Exit:
        assert self._exit is not None, "the run is still going on"
        return self._exit

    def _run_on_node(self, config: dict[str, Any]) -> Iterator[int | None]:
        """Start the trainer and fetch an update at each step. The last step yields the exit code. Raises NodeLost."""
        shared = self._shared_files(config)
        node = self._node_info(tuple(each.key for each in shared.values()))
        if node is None:
            yield -signal.SIGTERM
            return
        self._host = node.host
        self._start(config, shared, node)
        while True:
            update: Update = self._call("update", self._received, self._stop_kind, POLL_SECONDS)
            self._take(update.delivery)
            self._received.shown = update.shown
            yield update.exit_code

    def _shared_files(self, config: dict[str, Any]) -> dict[str, SharedFiles]:
        """The files that trials share, by the key of the configuration that names them."""
        features = self._uploads.features(self._run_dir.config, config)
        shared = {} if features is None else {FEATURES: features}
        return shared | files_read(config, has_checkpoint=self._run_dir.has_checkpoint())

    def _node_info(self, keys: tuple[str, ...]) -> NodeInfo | None:
        """Wait for capacity on a node. None where a stop is requested meanwhile. Raises SettingsError, NodeLost."""
        reference = self._actor.describe.remote(keys)
        while not ray.wait([reference], timeout=_CHECK_SECONDS)[0]:
            if self._stop_kind is not None:
                return None
            self._check_capacity()
        try:
            node: NodeInfo = _value(reference)
        except ActorUnavailableError as error:
            raise NodeLost(_short(error)) from error
        if node.code_version != code_version():
            raise SettingsError(
                f"`executor`: node {node.host} has smart-tuner {node.code_version}, but here it is {code_version()}; "
                "install the same version on every node."
            )
        return None if self._stop_kind is not None else node

    def _start(self, config: dict[str, Any], shared: dict[str, SharedFiles], node: NodeInfo) -> None:
        request = StartRequest(
            name=self._run_dir.path.name,
            config=config,
            device="cuda" if self._launch.device.startswith("cuda") else "cpu",
            threads=self._launch.threads,
            grace_seconds=self._grace,
            command=self._command,
            files=self._own_files(),
            shared={each.key: self._uploads.packed(each) for each in shared.values() if each.key in node.missing},
            reads={name: each.path for name, each in shared.items()},
        )
        self._begun = True
        folder, self._received.stamps = self._call("start", request)
        self.folder = Path(folder)

    def _own_files(self) -> tuple[Packed, ...]:
        """The checkpoints and events from which it continues."""
        files: dict[str, Path | bytes] = {
            f"checkpoints/{path.name}": path for path in self._run_dir.last_checkpoint.parent.glob("[!.]*.pt")
        }
        events = self._run_dir.events.read_bytes() if self._run_dir.events.exists() else b""
        self._received.events = len(events)
        return pack(files | {"events.jsonl": events} if events else files)

    def _take(self, delivery: Delivery) -> None:
        # The checkpoint from which a trial continues comes last: it must not be newer than the files that belong to it.
        for file in sorted(delivery.replaced, key=lambda file: file.name == LAST):
            self._fetch(file)
        for part in delivery.appended:
            self._extend(part)
        truncate_log(self._run_dir)
        _append(self._run_dir.events, delivery.events)
        self._received.events = delivery.size

    def _fetch(self, file: Replaced) -> None:
        assert file.name == SUSPECTS or Path(file.name).parent in FOLDERS, file.name
        size = file.stamp[1]
        keep = self._run_dir.previous_checkpoint if file.name == LAST else None
        with suppress(EOFError), write_atomically(self._run_dir.path / file.name, keep) as beside:
            with beside.open("wb") as target:
                while target.tell() < size:
                    chunk = self._call("read", file.number, target.tell())
                    if not chunk:  # it is being written in place, and gets another stamp
                        raise EOFError
                    target.write(chunk[: size - target.tell()])
            self._received.stamps[file.name] = file.stamp

    def _extend(self, part: Appended) -> None:
        if part.name == LOG:
            path = self._run_dir.log
        else:
            parts = Path(part.name).parts[1:]
            assert ".." not in parts, part.name
            path = self._tensorboard.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, part.data)
        self._received.appended[part.name] = part.size

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call the actor, again where it could not be reached for a moment. Raises NodeLost."""
        since = time.monotonic()
        while True:
            try:
                reference = getattr(self._actor, method).remote(*arguments)
                while not ray.wait([reference], timeout=_CHECK_SECONDS)[0]:
                    if self._give_up_at is not None and time.monotonic() > self._give_up_at:
                        raise NodeLost("it does not stop")
                return _value(reference)
            except ActorUnavailableError as error:
                if time.monotonic() - since > _UNREACHABLE_SECONDS:
                    raise NodeLost(_short(error)) from error
                time.sleep(_CHECK_SECONDS)

    def stop(self) -> None:
        with self._lock:
            if self._stop_kind is None:
                self._stop_kind = "stop"
                self._give_up_at = time.monotonic() + self._grace + _UNREACHABLE_SECONDS
        self._send("stop")

    def kill(self) -> None:
        with self._lock:
            if self._stop_kind != "kill":
                self._stop_kind = "kill"
                self._give_up_at = time.monotonic() + _KILL_SECONDS
        self._send("kill")

    def _send(self, what: StopKind) -> None:
        """Send it at once, if possible; else the next call of `update` carries it."""
        if self._begun and self._exit is None:
            with suppress(RayError):
                getattr(self._actor, what).options(num_returns=0).remote()

    def close(self) -> None:
        """End and delete all that is left on the node."""
        with suppress(RayError):
            if self._begun and (self._exit is None or self._exit.lost is None):
                ray.get(self._actor.end.remote(), timeout=_END_SECONDS)
        with suppress(RayError):
            ray.kill(self._actor)


def _value(reference: Any) -> Any:
    """The actor's answer. Raises NodeLost, ActorUnavailableError, and errors of our own code."""
    try:
        return ray.get(reference)
    except ActorUnavailableError:
        raise
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, OSError | ObjectLostError):  # the node's disk is full or broken; what was sent is gone
            raise NodeLost(_short(cause)) from error
        raise
    except RayError as error:
        if "failed to import" in str(error) or "ModuleNotFoundError" in str(error):
            raise SettingsError(
                "`executor`: a node of the Ray cluster cannot load smart_tuner; install smart-tuner[ray] "
                f"{code_version()} in the Python environment of every node."
            ) from error
        raise NodeLost(_short(error)) from error


def _append(path: Path, data: bytes) -> None:
    if data:
        with path.open("ab") as file:
            file.write(data)


def _end_line(path: Path) -> None:
    """End the last line: a tuner that was killed may have written only half of it."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")


def _short(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:300]}" if message else type(error).__name__
