"""A trial on its node: the actor that starts the trainer there, and sends its tuner what it writes.

Runs in a process of Ray. The trainer is a local one of that process (`smart_tuner.executors.local`), so that it ends
when Ray ends the actor. All that it reads and writes is in a folder of the node:

    <base>/smart-tuner-ray-<user>/<session of the cluster>/<node>/
      shared/<key>/          features, or a file that a trial reads; sent with the first one that needed it
      cache/                 features that trainers prepared here
      trials/<token>/        run/<name of the trial>/, tensorboard/, and fetch/ with links to files that are being sent

The next session deletes the folder of a session in which no trial has run for a week.
"""

import hashlib
import json
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import trainer
from smart_tuner.executors import Launch
from smart_tuner.executors.local import LocalExecutor, LocalRun
from smart_tuner.executors.ray.transfer import Packed, unpack, unpack_once
from smart_tuner.executors.ray.updates import TENSORBOARD, Delivery, Received, Stamp, Updates
from trainer.files import lock, try_lock
from trainer.protocol import RunDir

_KEPT_SECONDS = 7 * 24 * 3600.0
_LEFT_SECONDS = 600.0  # after which a trial's folder that nobody holds is deleted

StopKind = Literal["stop", "kill"]


@dataclass(frozen=True)
class NodeInfo:
    """The node of a trial. missing: the keys of shared files that it does not have."""

    host: str
    code_version: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class StartRequest:
    """A trial to start. config: with paths of the tuner's machine.

    reads: what it reads in the node's folder of shared files, as relative paths by the dotted key that names them.
    """

    name: str
    config: Mapping[str, Any]
    device: str
    threads: int
    grace_seconds: float
    command: tuple[str, ...] | None
    files: tuple[Packed, ...]
    shared: Mapping[str, tuple[Packed, ...]]
    reads: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """shown: all events that the trainer has written. exit_code: not None in the last update."""

    shown: int
    delivery: Delivery
    exit_code: int | None


def code_version() -> str:
    """Equal on two machines with the same version and the same trainer."""
    try:
        number = version("smart-tuner")
    except PackageNotFoundError:  # run from a checkout
        number = "uninstalled"
    folder = Path(trainer.__file__).parent
    sources = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".json")):
        sources.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{number} ({sources.hexdigest()[:12]})"


class NodeTrial:
    """The actor. Each method may be called repeatedly, and from several threads."""

    def __init__(self, base: str | None, token: str) -> None:
        import ray

        context = ray.get_runtime_context()
        self._root = Path(base or tempfile.gettempdir()) / f"smart-tuner-ray-{os.getuid()}"
        self._session = self._root / str(context.get_session_name())
        self._home = self._session / str(context.get_node_id())[:12]
        self._folder = self._home / "trials" / token
        self._held = ExitStack()
        self._starting = threading.Lock()
        self._fetching = threading.Lock()
        self._changed = threading.Condition()
        self._shown = 0  # events that the trainer has written
        self._run: LocalRun | None = None
        self._run_dir = RunDir(self._folder)
        self._updates = Updates(self._run_dir, self._folder)
        self._exit_code: int | None = None
        self._sent: dict[str, Stamp] = {}
        self._watcher: threading.Thread | None = None
        self._begun = threading.Event()
        self._over = threading.Event()
        self._fault: Exception | None = None

    def describe(self, keys: tuple[str, ...]) -> NodeInfo:
        """What the tuner must know of this node. keys: of the shared files that the trial needs. Raises OSError."""
        make_private(self._root)
        missing = tuple(key for key in keys if not self._shared(key).is_dir())
        return NodeInfo(platform.node(), code_version(), missing)

    def start(self, request: StartRequest) -> tuple[str, dict[str, Stamp]]:
        """Start the trainer, unless it runs. Returns the trial's folder, and stamps of the files from the tuner."""
        with self._starting:
            if self._watcher is None:
                self._make_folder(request)
                self._updates = Updates(self._run_dir, self._folder)
                self._sent = self._updates.stamps()
                self._watcher = threading.Thread(target=self._watch, args=[request], name="watch-trainer", daemon=True)
                self._watcher.start()
                self._begun.wait()
            if self._fault is not None:
                raise self._fault
            return str(self._run_dir.path), self._sent

    def _make_folder(self, request: StartRequest) -> None:
        delete_old_folders(self._session, self._home / "trials")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(lock(self._folder / ".held"))
        os.utime(self._session)
        for key, packed in request.shared.items():
            unpack_once(packed, self._shared(key))
        self._run_dir = RunDir(self._folder / "run" / request.name)
        unpack(request.files, self._run_dir.path)
        self._run_dir.config.parent.mkdir(parents=True, exist_ok=True)
        config = json.dumps(self._localised(request), indent=2, ensure_ascii=False)
        self._run_dir.config.write_text(config + "\n", encoding="utf-8")

    def _localised(self, request: StartRequest) -> dict[str, Any]:
        """The configuration with paths of this node."""
        config = dict(request.config)
        paths = {"run": self._run_dir.path, "tensorboard": self._folder / TENSORBOARD, "cache": self._home / "cache"}
        config["paths"] = {key: str(path) for key, path in paths.items()}
        for key, name in request.reads.items():
            config = _with(config, key, str(self._shared(name)))
        return config

    def _shared(self, name: str) -> Path:
        return self._home / "shared" / name

    def _watch(self, request: StartRequest) -> None:
        """In a separate thread: a trainer dies with the thread that started it, and Ray's threads may end earlier."""
        executor = LocalExecutor(request.grace_seconds, request.command, standby=False)
        try:
            with executor.launch(Launch(self._run_dir, request.device, request.threads)) as self._run:
                self._begun.set()
                self._follow(self._run)
                self._over.wait()
        except Exception as error:  # `start` or `update` raises it
            self._fault = error
        finally:
            self._begun.set()
            with self._changed:
                self._changed.notify_all()

    def _follow(self, run: LocalRun) -> None:
        for _ in run.events():
            with self._changed:
                self._shown += 1
                self._changed.notify_all()
            if self._over.is_set():
                return
        with self._changed:
            self._exit_code = run.exit.exit_code
            self._changed.notify_all()

    def update(self, received: Received, stop: StopKind | None, seconds: float) -> Update:
        """What the tuner does not have yet; waits up to `seconds` for it. stop: repeats a request that may be lost."""
        self._obey(stop)
        with self._changed:
            self._changed.wait_for(lambda: self._shown > received.shown or self._has_ended(), seconds)
            shown = self._shown
            exit_code = self._exit_code
        if self._fault is not None:
            raise self._fault
        with self._fetching:
            os.utime(self._session)
            delivery = self._updates.delivery(received, ended=exit_code is not None)
        return Update(shown, delivery, exit_code)

    def _has_ended(self) -> bool:
        return self._exit_code is not None or self._fault is not None

    def read(self, number: int, offset: int) -> bytes:
        """A part of a file that the last `update` named."""
        return self._updates.read(number, offset)

    def stop(self) -> None:
        self._obey("stop")

    def kill(self) -> None:
        self._obey("kill")

    def _obey(self, stop: StopKind | None) -> None:
        if stop is not None and self._run is not None:
            self._run.stop() if stop == "stop" else self._run.kill()

    def end(self) -> None:
        """End all processes of the trial and delete its files."""
        with self._starting:
            self._over.set()
            if self._run is not None:
                self._run.kill()
            if self._watcher is not None:
                self._watcher.join()
            self._held.close()
            shutil.rmtree(self._folder, ignore_errors=True)


def _with(config: Mapping[str, Any], key: str, value: str) -> dict[str, Any]:
    """The configuration with another value of a dotted key."""
    section, _, rest = key.partition(".")
    return {**config, section: _with(config[section], rest, value) if rest else value}


def make_private(folder: Path) -> None:
    """Make a folder to which no other user of the node can write. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder}: belongs to somebody else")


def delete_old_folders(session: Path, trials: Path) -> None:
    """Delete the folders of old sessions, and of trials whose actor was killed."""
    for other in session.parent.iterdir():
        if other != session and _age(other) > _KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    for held in trials.glob("*/.held"):
        with suppress(OSError), held.open("a") as file:
            if _age(held) > _LEFT_SECONDS and try_lock(file):
                shutil.rmtree(held.parent, ignore_errors=True)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
