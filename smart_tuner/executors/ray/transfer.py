"""What is sent to a node with a trial: files, through Ray's object store; files that trials share, once per node.

The corpus is not sent, its prepared features are. The trainer prints their folder here (`--locate`), and finds them
there by the key `paths.features`, with the settings that they were made with.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smart_tuner.child_environment import Child, environment_for
from trainer.dotted import flatten
from trainer.files import lock

CHUNK_BYTES = 32 * 2**20
_SETTINGS = "settings.json"  # as in trainer.data.features_settings
FEATURES = "paths.features"  # the dotted key that names the folder of the features
_BEGINS_WITH = ("warm_start", "continue_from")  # files that a trial reads before its first checkpoint, by dotted key
_READS = (*_BEGINS_WITH, "corpus.leave_out")  # all files that a trial reads, by dotted key


@dataclass(frozen=True)
class Packed:
    """One file. name: relative, with slashes; chunks: references to its bytes."""

    name: str
    chunks: tuple[Any, ...]


@dataclass(frozen=True)
class SharedFiles:
    """A file or a folder that trials share.

    files: name -> its path here, or its content; key: the same for the same content.
    """

    key: str
    files: Mapping[str, Path | bytes]
    is_folder: bool = False

    @property
    def path(self) -> str:
        """What a configuration names, in the folder of shared files of a node."""
        return self.key if self.is_folder else f"{self.key}/{next(iter(self.files))}"


def pack(files: Mapping[str, Path | bytes]) -> tuple[Packed, ...]:
    """Put the files into the object store, which frees what has no references left."""
    import ray

    return tuple(Packed(name, tuple(ray.put(chunk) for chunk in _chunks(content))) for name, content in files.items())


def unpack(packed: Iterable[Packed], folder: Path) -> None:
    import ray

    for file in packed:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            for chunk in file.chunks:
                target.write(ray.get(chunk))


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def unpack_once(packed: Iterable[Packed], folder: Path) -> None:
    """Unpack into `folder` unless it exists: completely or not at all, by one process while others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return
        beside = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(beside, ignore_errors=True)  # left by a killed process
        beside.mkdir()
        unpack(packed, beside)
        beside.rename(folder)


class Uploads:
    """The files that a tuner has put into the object store, and keeps there for further nodes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, SharedFiles | None] = {}
        self._packed: dict[str, tuple[Packed, ...]] = {}

    def features(self, path: Path, config: Mapping[str, Any]) -> SharedFiles | None:
        """The features for a trial with the configuration in file `path`; None where they are not in the cache."""
        if "corpus" not in config or not (Path(config["paths"]["cache"]) / "features").is_dir():
            return None
        key = json.dumps([config["corpus"], config.get("audio"), config["paths"]["cache"]], sort_keys=True)
        with self._lock:
            if key not in self._found:
                self._found[key] = _find_features(path)
            return self._found[key]

    def packed(self, files: SharedFiles) -> tuple[Packed, ...]:
        with self._lock:
            if files.key not in self._packed:
                self._packed[files.key] = pack(files.files)
            return self._packed[files.key]

    def clear(self) -> None:
        with self._lock:
            self._found = {}
            self._packed = {}


def _find_features(config: Path) -> SharedFiles | None:
    command = [sys.executable, "-P", "-m", "trainer", "--locate", "--config", str(config)]
    environment = environment_for(Child.TRAINER)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    located = {} if done.returncode else json.loads(done.stdout)
    if not located.get("features"):
        return None  # a fault is reported by the trainer on its node
    folder = Path(located["features"])
    files: dict[str, Path | bytes] = {
        path.name: path
        for path in folder.iterdir()
        if not path.name.startswith(".")  # that another process is writing
    }
    # Printed, since features of an earlier version have no such file where the cache cannot be written.
    files[_SETTINGS] = json.dumps(located["settings"]).encode()
    return SharedFiles(f"prepared-{folder.name}", files, is_folder=True)


def files_read(config: Mapping[str, Any], *, has_checkpoint: bool) -> dict[str, SharedFiles]:
    """The files that a trial reads, by the dotted key that names them; without those that are missing, which the
    trainer will report.

    has_checkpoint: of the trial, which then no longer needs what it begins with.
    """
    named = flatten(config)
    found = {}
    for key in _READS:
        if (path := named.get(key)) and not (has_checkpoint and key in _BEGINS_WITH):
            with suppress(FileNotFoundError):
                found[key] = _shared_file(key, Path(path))
    return found


def _shared_file(key: str, path: Path) -> SharedFiles:
    """Raises FileNotFoundError."""
    stat = path.stat()
    identity = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    return SharedFiles(f"{key}-{hashlib.sha256(identity.encode()).hexdigest()[:24]}", {path.name: path})
