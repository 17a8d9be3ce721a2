"""A trial on its node: the actor that starts the trainer there, and says to its tuner what there is to fetch.

Runs in a process of Ray's, within which the trainer is a local one (`smart_tuner.executors.local`): tied to that
process, so that it leaves when Ray ends the actor. All that it reads and writes lies in a folder of the node:

    <base>/smart-tuner-ray-<user>/<session of the cluster>/<node>/
      shared/<key>/          features or a voice, brought by the first trial that needed them
      cache/                 what trainers prepared here themselves
      trials/<token>/        run/<name of the trial>/, tensorboard/, and fetch/ with links to files on their way back

A session's folder that no trial has begun in for a week is cleared away by the next session.
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
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import trainer
from smart_tuner.executors import Launch
from smart_tuner.executors.local import LocalExecutor, LocalRun
from smart_tuner.executors.ray.transfer import VOICE, Packed, unpack, unpack_once
from smart_tuner.executors.ray.updates import TENSORBOARD, Delivery, Have, Outgoing, Stamp
from trainer.files import lock, try_lock
from trainer.protocol import RunDir

_KEPT_SECONDS = 7 * 24 * 3600.0
_LEFT_SECONDS = 600.0  # until a trial's folder that nobody holds is cleared away

Asked = Literal["stop", "kill"]


@dataclass(frozen=True)
class Greeting:
    """Where a trial came to. lacks: the keys that the node has nothing of."""

    host: str
    code: str
    lacks: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """A trial to start. config: that of the tuner's machine. features, voice: keys of what is shared."""

    name: str
    config: Mapping[str, Any]
    device: str
    threads: int
    grace_seconds: float
    command: tuple[str, ...] | None
    files: tuple[Packed, ...]
    shared: Mapping[str, tuple[Packed, ...]]
    features: str | None = None
    voice: str | None = None


@dataclass(frozen=True)
class News:
    """shown: events that the trainer has written in all. exit_code: it is gone, and this is all."""

    shown: int
    delivery: Delivery
    exit_code: int | None


def code() -> str:
    """The same on two machines where their trainers are the same, and they understand each other."""
    try:
        number = version("smart-tuner")
    except PackageNotFoundError:  # run from a checkout
        number = "uninstalled"
    folder = Path(trainer.__file__).parent
    sources = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        sources.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{number} ({sources.hexdigest()[:12]})"


class NodeTrial:
    """The actor. Each method may be called again, and by several threads."""

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
        self._outgoing = Outgoing(self._run_dir, self._folder)
        self._exit_code: int | None = None
        self._sent: dict[str, Stamp] = {}
        self._watcher: threading.Thread | None = None
        self._begun, self._over = threading.Event(), threading.Event()
        self._fault: Exception | None = None

    def greet(self, keys: tuple[str, ...]) -> Greeting:
        make_private(self._root)
        lacks = tuple(key for key in keys if not self._shared(key).is_dir())
        return Greeting(platform.node(), code(), lacks)

    def begin(self, order: Order) -> tuple[str, dict[str, Stamp]]:
        """Start the trainer, unless it is started. Returns the trial's folder, and what the tuner has sent to it."""
        with self._starting:
            if self._watcher is None:
                self._make_folder(order)
                self._outgoing = Outgoing(self._run_dir, self._folder)
                self._sent = self._outgoing.stamps()
                self._watcher = threading.Thread(target=self._watch, args=[order], name="watch-trainer", daemon=True)
                self._watcher.start()
                self._begun.wait()
            if self._fault is not None:
                raise self._fault
            return str(self._run_dir.path), self._sent

    def _make_folder(self, order: Order) -> None:
        clear_away(self._session, self._home / "trials")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(lock(self._folder / ".held"))
        os.utime(self._session)
        for key, packed in order.shared.items():
            unpack_once(packed, self._shared(key))
        self._run_dir = RunDir(self._folder / "run" / order.name)
        unpack(order.files, self._run_dir.path)
        self._run_dir.config.parent.mkdir(parents=True, exist_ok=True)
        config = json.dumps(self._localised(order), indent=2, ensure_ascii=False)
        self._run_dir.config.write_text(config + "\n", encoding="utf-8")

    def _localised(self, order: Order) -> dict[str, Any]:
        """The configuration with paths of this node."""
        config = dict(order.config)
        paths = {"run": self._run_dir.path, "tensorboard": self._folder / TENSORBOARD, "cache": self._home / "cache"}
        if order.features:
            paths["features"] = self._shared(order.features)
        config["paths"] = {key: str(path) for key, path in paths.items()}
        if order.voice:
            config["warm_start"] = str(self._shared(order.voice) / VOICE)
        return config

    def _shared(self, key: str) -> Path:
        return self._home / "shared" / key

    def _watch(self, order: Order) -> None:
        """A thread of its own: a trainer dies with the thread that started it, and Ray's may be gone sooner."""
        executor = LocalExecutor(order.grace_seconds, order.command, standby=False)
        try:
            with executor.launch(Launch(self._run_dir, order.device, order.threads)) as self._run:
                self._begun.set()
                self._follow(self._run)
                self._over.wait()
        except Exception as error:  # `begin` or `news` raises it
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
            self._exit_code = run.outcome.exit_code
            self._changed.notify_all()

    def news(self, have: Have, asked: Asked | None, seconds: float) -> News:
        """What there is that the tuner does not have; waits up to `seconds` for it."""
        self._obey(asked)
        with self._changed:
            self._changed.wait_for(lambda: self._shown > have.shown or self._has_ended(), seconds)
            shown, exit_code = self._shown, self._exit_code
        if self._fault is not None:
            raise self._fault
        with self._fetching:
            os.utime(self._session)
            delivery = self._outgoing.delivery(have, ended=exit_code is not None)
        return News(shown, delivery, exit_code)

    def _has_ended(self) -> bool:
        return self._exit_code is not None or self._fault is not None

    def read(self, number: int, offset: int) -> bytes:
        """Of a file that `news` announced last."""
        return self._outgoing.read(number, offset)

    def stop(self) -> None:
        self._obey("stop")

    def kill(self) -> None:
        self._obey("kill")

    def _obey(self, asked: Asked | None) -> None:
        if asked is not None and self._run is not None:
            self._run.stop() if asked == "stop" else self._run.kill()

    def end(self) -> None:
        """Leave no process and no file of the trial behind."""
        with self._starting:
            self._over.set()
            if self._run is not None:
                self._run.kill()
            if self._watcher is not None:
                self._watcher.join()
            self._held.close()
            shutil.rmtree(self._folder, ignore_errors=True)


def make_private(folder: Path) -> None:
    """So that nobody else on the node can write to it. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder}: belongs to somebody else")


def clear_away(session: Path, trials: Path) -> None:
    """Sessions of long ago, and trials whose actor was killed."""
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
