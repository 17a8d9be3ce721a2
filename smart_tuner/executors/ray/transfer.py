"""What a trial takes along to its node: files, through Ray's object store; what trials share, once per node.

A corpus is not taken along, its prepared features are. Since a trainer finds those by what its corpus lists, a corpus
of two empty recordings goes with them, and the folder of features is named as that one's. Should the features
be missed all the same, the trainer refuses the empty recordings.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.files import lock

CHUNK_BYTES = 32 * 2**20
CORPUS, VOICE = "corpus", "voice.pt"  # names within what is shared
_STAND_IN = {"metadata.csv": b"1|features were taken along\n2|features were taken along\n"} | {
    f"wavs/{i}.wav": b"" for i in (1, 2)
}
# A program, since the tuner does not import what needs torch or numpy: the folder of features that each of two corpora
# has, the second without a list for validation.
_FIND = """
import json, sys
from dataclasses import replace
from pathlib import Path
from trainer.config import TrainerConfig
from trainer.data.corpus import content_hash
from trainer.data.preparation import features_folder
config = TrainerConfig.load(Path(sys.argv[1]))
other = replace(config, corpus=replace(config.corpus, source=sys.argv[2], validation_source=""))
print(json.dumps([str(features_folder(c, content_hash(c.corpus, Path(c.paths.cache)))) for c in (config, other)]))
"""


@dataclass(frozen=True)
class Packed:
    """One file. name: relative, with slashes; chunks: references to its bytes."""

    name: str
    chunks: tuple[Any, ...]


@dataclass(frozen=True)
class Goods:
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
        _stamp(beside)
        beside.rename(folder)


def _stamp(folder: Path) -> None:
    """The times of recordings are part of what tells one corpus from another."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(0, 0))


class Store:
    """What one tuner has put into the object store, and keeps there for nodes to come. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Goods | None] = {}
        self._packed: dict[str, tuple[Packed, ...]] = {}

    def features(self, path: Path, config: Mapping[str, Any]) -> Goods | None:
        """The features that a trial with the configuration in file `path` opens; None where the cache lacks them."""
        if "corpus" not in config or not (Path(config["paths"]["cache"]) / "features").is_dir():
            return None
        asked = json.dumps([config["corpus"], config.get("audio"), config["paths"]["cache"]], sort_keys=True)
        with self._lock:
            if asked not in self._found:
                self._found[asked] = _find_features(path)
            return self._found[asked]

    def packed(self, goods: Goods) -> tuple[Packed, ...]:
        with self._lock:
            if goods.key not in self._packed:
                self._packed[goods.key] = pack(goods.files)
            return self._packed[goods.key]

    def clear(self) -> None:
        with self._lock:
            self._found, self._packed = {}, {}


def _find_features(config: Path) -> Goods | None:
    with tempfile.TemporaryDirectory(prefix="smart-tuner-") as folder:
        for name, content in _STAND_IN.items():
            (path := Path(folder) / name).parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        _stamp(Path(folder))
        command = [sys.executable, "-P", "-c", _FIND, str(config), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None  # the trainer will say the same on its node, in a better place
    source, target = (Path(each) for each in json.loads(done.stdout))
    if not source.is_dir():
        return None
    files: dict[str, Path | bytes] = {f"features/{target.name}/{path.name}": path for path in source.iterdir()}
    return Goods(f"features-{source.name}", files | {f"{CORPUS}/{name}": c for name, c in _STAND_IN.items()})


def voice(path: Path) -> Goods:
    """The file that a training begins with. Raises FileNotFoundError."""
    known = path.stat()
    told = f"{path.resolve()} {known.st_size} {known.st_mtime_ns}"
    return Goods(f"voice-{hashlib.sha256(told.encode()).hexdigest()[:24]}", {VOICE: path})
