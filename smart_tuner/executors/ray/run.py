"""One trial on a Ray cluster, as its tuner sees it: what it needs goes there, what it makes comes home.

Everything that a reader sees is first written into the trial's own directory here: events as they came, in whole lines,
and before them the files that they speak of. So a trial whose node is lost goes on elsewhere from what is here.
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
from smart_tuner.executors import Launch, Outcome
from smart_tuner.executors.local import keep_the_end, log_tail
from smart_tuner.executors.ray.node import Asked, Greeting, News, Order, code
from smart_tuner.executors.ray.transfer import Packed, SharedFiles, Store, pack, voice
from smart_tuner.executors.ray.updates import FOLDERS, LAST, LOG, Delivery, Growth, Have, Replaced
from trainer.files import write_atomically
from trainer.protocol import Event, EventReader, ExitCode

POLL_SECONDS = 1.0  # a call to the node lasts that long at most where there is nothing new
_LOOK_SECONDS = 0.5  # between two looks whether a call that is under way is still wanted
_UNREACHABLE_SECONDS = 30.0  # with a node that cannot be reached, or does not obey
_KILL_SECONDS = 10.0
_END_SECONDS = 45.0  # a GPU's memory may take that long to be free


class Lost(Exception):
    """The node, or the process that held the trial there, does not answer any more."""


class RayRun:
    """See `smart_tuner.executors.Run`. The trainer starts when `events` is first asked for one."""

    def __init__(
        self,
        actor: Any,
        launch: Launch,
        store: Store,
        grace_seconds: float,
        command: tuple[str, ...] | None,
        check_capacity: Callable[[], None],
    ) -> None:
        """actor: handle of a `NodeTrial`. check_capacity: raises where no node could ever take the trial."""
        self._actor, self._launch, self._store = actor, launch, store
        self._grace, self._command, self._check_capacity = grace_seconds, command, check_capacity
        self._run_dir = launch.run_dir
        self._asked: Asked | None = None
        self._give_up_at: float | None = None
        self._lock = threading.RLock()  # a signal may come while a signal is handled
        self._begun = False
        self._host = ""
        self._have = Have(0)
        self._reader = EventReader(self._run_dir.events, launch.offset)
        self._outcome: Outcome | None = None
        self.folder: Path | None = None  # on the node, once the trainer has started there

    def events(self) -> Iterator[Event]:
        _end_line(self._run_dir.events)
        config = json.loads(self._run_dir.config.read_text(encoding="utf-8"))
        self._tensorboard = Path(config.get("paths", {}).get("tensorboard", self._run_dir.path / "tensorboard"))
        yield from self._reader.read()
        course = self._course(config)
        while True:
            try:
                exit_code = next(course)
            except Lost as lost:
                where = f" ({self._host}: {lost})" if self._host else f" ({lost})"
                self._outcome = Outcome(
                    -signal.SIGKILL, log_tail(self._run_dir.log), f"the node that ran it is gone{where}"
                )
                return
            except OSError as error:  # of the disk here; what the node says is lost with it
                self._outcome = Outcome(ExitCode.NO_SPACE, f"{type(error).__name__}: {error}")
                return
            yield from self._reader.read()
            if exit_code is not None:
                self._outcome = Outcome(exit_code, log_tail(self._run_dir.log))
                return

    @property
    def outcome(self) -> Outcome:
        assert self._outcome is not None, "the run is still going on"
        return self._outcome

    def _course(self, config: dict[str, Any]) -> Iterator[int | None]:
        """Each step brings news home; the last one yields the exit code. Raises Lost."""
        shared = self._shared_files(config)
        greeting = self._greeting(tuple(each.key for each in shared.values()))
        if greeting is None:
            yield -signal.SIGTERM
            return
        self._host = greeting.host
        self._begin(config, shared, greeting)
        while True:
            news: News = self._call("news", self._have, self._asked, POLL_SECONDS)
            self._take(news.delivery)
            self._have.shown = news.shown
            yield news.exit_code

    def _shared_files(self, config: dict[str, Any]) -> dict[str, SharedFiles]:
        """What it shares with other trials, by what it is."""
        shared = {"features": self._store.features(self._run_dir.config, config)}
        if config.get("warm_start") and not self._run_dir.has_checkpoint():
            with suppress(FileNotFoundError):  # the trainer will say so
                shared["voice"] = voice(Path(config["warm_start"]))
        return {what: each for what, each in shared.items() if each is not None}

    def _greeting(self, keys: tuple[str, ...]) -> Greeting | None:
        """Wait for capacity on some node; None where it was asked to stop meanwhile. Raises SettingsError, Lost."""
        reference = self._actor.greet.remote(keys)
        while not ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
            if self._asked is not None:
                return None
            self._check_capacity()
        try:
            greeting: Greeting = _value(reference)
        except ActorUnavailableError as error:
            raise Lost(_in_short(error)) from error
        if greeting.code != code():
            raise SettingsError(
                f"`executor`: node {greeting.host} has smart-tuner {greeting.code}, but here it is {code()}; "
                "install the same version on every node."
            )
        return None if self._asked is not None else greeting

    def _begin(self, config: dict[str, Any], shared: dict[str, SharedFiles], greeting: Greeting) -> None:
        keys = {what: each.key for what, each in shared.items()}
        order = Order(
            name=self._run_dir.path.name,
            config=config,
            device="cuda" if self._launch.device.startswith("cuda") else "cpu",
            threads=self._launch.threads,
            grace_seconds=self._grace,
            command=self._command,
            files=self._own_files(),
            shared={each.key: self._store.packed(each) for each in shared.values() if each.key in greeting.lacks},
            features=keys.get("features"),
            voice=keys.get("voice"),
        )
        self._begun = True
        folder, self._have.stamps = self._call("begin", order)
        self.folder = Path(folder)

    def _own_files(self) -> tuple[Packed, ...]:
        """What it continues from."""
        files: dict[str, Path | bytes] = {
            f"checkpoints/{path.name}": path for path in self._run_dir.last_checkpoint.parent.glob("[!.]*.pt")
        }
        events = self._run_dir.events.read_bytes() if self._run_dir.events.exists() else b""
        self._have.events = len(events)
        return pack(files | {"events.jsonl": events} if events else files)

    def _take(self, delivery: Delivery) -> None:
        # The checkpoint that a trial goes on from last: it must not be newer than what belongs to it.
        for file in sorted(delivery.replaced, key=lambda file: file.name == LAST):
            self._fetch(file)
        for growth in delivery.grown:
            self._grow(growth)
        keep_the_end(self._run_dir)
        _append(self._run_dir.events, delivery.events)
        self._have.events = delivery.size

    def _fetch(self, file: Replaced) -> None:
        assert Path(file.name).parent in FOLDERS, file.name
        size = file.stamp[1]
        keep = self._run_dir.previous_checkpoint if file.name == LAST else None
        with suppress(EOFError), write_atomically(self._run_dir.path / file.name, keep) as beside:
            with beside.open("wb") as target:
                while target.tell() < size:
                    chunk = self._call("read", file.number, target.tell())
                    if not chunk:  # it is being written in place; there will be another stamp
                        raise EOFError
                    target.write(chunk[: size - target.tell()])
            self._have.stamps[file.name] = file.stamp

    def _grow(self, growth: Growth) -> None:
        if growth.name == LOG:
            path = self._run_dir.log
        else:
            parts = Path(growth.name).parts[1:]
            assert ".." not in parts, growth.name
            path = self._tensorboard.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, growth.data)
        self._have.grown[growth.name] = growth.size

    def _call(self, method: str, *arguments: Any) -> Any:
        """Ask the actor; again where it could not be reached for a moment. Raises Lost."""
        since = time.monotonic()
        while True:
            try:
                reference = getattr(self._actor, method).remote(*arguments)
                while not ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
                    if self._give_up_at is not None and time.monotonic() > self._give_up_at:
                        raise Lost("it does not obey")
                return _value(reference)
            except ActorUnavailableError as error:
                if time.monotonic() - since > _UNREACHABLE_SECONDS:
                    raise Lost(_in_short(error)) from error
                time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        with self._lock:
            if self._asked is None:
                self._asked = "stop"
                self._give_up_at = time.monotonic() + self._grace + _UNREACHABLE_SECONDS
        self._tell("stop")

    def kill(self) -> None:
        with self._lock:
            if self._asked != "kill":
                self._asked = "kill"
                self._give_up_at = time.monotonic() + _KILL_SECONDS
        self._tell("kill")

    def _tell(self, what: Asked) -> None:
        """At once, if possible; else the next call for news says it."""
        if self._begun and self._outcome is None:
            with suppress(RayError):
                getattr(self._actor, what).options(num_returns=0).remote()

    def close(self) -> None:
        """Leave nothing behind on the node, if there is one."""
        with suppress(RayError):
            if self._begun and (self._outcome is None or self._outcome.lost is None):
                ray.get(self._actor.end.remote(), timeout=_END_SECONDS)
        with suppress(RayError):
            ray.kill(self._actor)


def _value(reference: Any) -> Any:
    """What the actor answered. Raises Lost, ActorUnavailableError, and what is wrong with our own code."""
    try:
        return ray.get(reference)
    except ActorUnavailableError:
        raise
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, OSError | ObjectLostError):  # its disk is full or broken; what was sent is gone
            raise Lost(_in_short(cause)) from error
        raise
    except RayError as error:
        if "failed to import" in str(error) or "ModuleNotFoundError" in str(error):
            raise SettingsError(
                "`executor`: a node of the Ray cluster cannot load smart_tuner; install smart-tuner[ray] "
                f"{code()} in the Python environment of every node."
            ) from error
        raise Lost(_in_short(error)) from error


def _append(path: Path, data: bytes) -> None:
    if data:
        with path.open("ab") as file:
            file.write(data)


def _end_line(path: Path) -> None:
    """A tuner that was killed may have left half a line."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")


def _in_short(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:300]}" if words else type(error).__name__
