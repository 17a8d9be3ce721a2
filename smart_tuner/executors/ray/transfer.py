"""What a trial takes along to its node: files, through Ray's object store; what trials share, once per node.

A corpus is not taken along, its prepared features are: the trainer says where they lie here (`--locate`), and trains
on them there by the key `paths.features`.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.files import lock

CHUNK_BYTES = 32 * 2**20
VOICE = "voice.pt"  # the name of its file within what is shared


@dataclass(frozen=True)
class Packed:
    """One file. name: relative, with slashes; chunks: references to its bytes."""

    name: str
    chunks: tuple[Any, ...]


@dataclass(frozen=True)
class SharedFiles:
    """What trials share. files: name -> where it lies here, or its content; key: the same for the same content."""

    key: str
    files: Mapping[str, Path | bytes]


def pack(files: Mapping[str, Path | bytes]) -> tuple[Packed, ...]:
    """Put the files into the object store. What nobody refers to any more is freed there."""
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
    """Make `folder` of it, unless it is there: whole or not at all, and by one process while others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return
        beside = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(beside, ignore_errors=True)  # of one that was killed
        beside.mkdir()
        unpack(packed, beside)
        beside.rename(folder)


class Store:
    """What one tuner has put into the object store, and keeps there for nodes to come. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, SharedFiles | None] = {}
        self._packed: dict[str, tuple[Packed, ...]] = {}

    def features(self, path: Path, config: Mapping[str, Any]) -> SharedFiles | None:
        """The features that a trial with the configuration in file `path` opens; None where the cache lacks them."""
        if "corpus" not in config or not (Path(config["paths"]["cache"]) / "features").is_dir():
            return None
        asked = json.dumps([config["corpus"], config.get("audio"), config["paths"]["cache"]], sort_keys=True)
        with self._lock:
            if asked not in self._found:
                self._found[asked] = _find_features(path)
            return self._found[asked]

    def packed(self, files: SharedFiles) -> tuple[Packed, ...]:
        with self._lock:
            if files.key not in self._packed:
                self._packed[files.key] = pack(files.files)
            return self._packed[files.key]

    def clear(self) -> None:
        with self._lock:
            self._found, self._packed = {}, {}


def _find_features(config: Path) -> SharedFiles | None:
    command = [sys.executable, "-P", "-m", "trainer", "--locate", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    located = None if done.returncode else json.loads(done.stdout)["features"]
    if located is None:
        return None  # what is wrong, the trainer will say on its node, in a better place
    folder = Path(located)
    return SharedFiles(f"prepared-{folder.name}", {path.name: path for path in folder.iterdir()})


def voice(path: Path) -> SharedFiles:
    """The file that a training begins with. Raises FileNotFoundError."""
    known = path.stat()
    identity = f"{path.resolve()} {known.st_size} {known.st_mtime_ns}"
    return SharedFiles(f"voice-{hashlib.sha256(identity.encode()).hexdigest()[:24]}", {VOICE: path})
