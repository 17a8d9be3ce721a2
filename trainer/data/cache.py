"""What a cache holds: features, speech of espeak-ng and unfinished work, with sizes, ages and users; and their removal.

A user is a configuration, by the name of its study. It uses the features that a trainer with it would open now. Where
that cannot be known, since its corpus cannot be read, it uses all features of that corpus and all of an unknown one.
Nothing that is used or being built is removed.
"""

import json
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.config import TrainerConfig
from trainer.data.demo.corpus import PREFIX, parse_name
from trainer.data.features import locate_features
from trainer.data.preparation import FEATURES, UNFINISHED
from trainer.errors import UserError
from trainer.files import try_lock

CORPORA = "corpora"
REMOVED = ".removed"  # the end of the name of what is about to be removed


@dataclass(frozen=True)
class User:
    """config: the nested mapping of a trainer's configuration, as far as it is known."""

    study: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """name: its path within the cache; used: seconds since the epoch; corpus: the source, "" where it is unknown."""

    name: str
    bytes: int
    used: float
    corpus: str
    studies: tuple[str, ...]
    in_work: bool


@dataclass(frozen=True)
class _Use:
    """names: entries that are used; unknown: the corpora all of whose features may be used."""

    names: frozenset[str]
    unknown: frozenset[str]


def entries(cache: Path, users: Iterable[User]) -> list[Entry]:
    """The largest first. Writes nothing, but for the settings that features of an earlier version lack."""
    uses = [(user.study, _use(user.config, cache)) for user in users]
    found = [_entry(cache, path, corpus, uses) for path, corpus in _finished(cache)]
    unfinished = cache / FEATURES / UNFINISHED
    if unfinished.is_dir() and any(unfinished.iterdir()):
        with ExitStack() as stack:
            size, used = _measured(unfinished)
            in_work = not _lock_all(unfinished, stack)
            found.append(Entry(f"{FEATURES}/{UNFINISHED}", size, used, "", (), in_work))
    return sorted(found, key=lambda entry: -entry.bytes)


def remove(cache: Path, names: Sequence[str], users: Iterable[User]) -> list[Entry]:
    """Remove the entries with these names that are neither used nor in work now; return them."""
    chosen = [e for e in entries(cache, users) if e.name in names and not e.studies and not e.in_work]
    return [entry for entry in chosen if _remove(cache / entry.name)]


def _finished(cache: Path) -> Iterator[tuple[Path, str]]:
    """Folders of features and of embedded corpora, each with its corpus."""
    for path in _folders(cache / FEATURES):
        source = ""
        with suppress(OSError, ValueError, AttributeError):
            source = json.loads((path / "index.json").read_text(encoding="utf-8")).get("source", "")
        yield path, source
    for path in _folders(cache / CORPORA):
        yield path, path.name.replace("-", ":")


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _entry(cache: Path, path: Path, corpus: str, uses: Iterable[tuple[str, _Use]]) -> Entry:
    name = str(path.relative_to(cache))
    size, used = _measured(path)
    is_features = path.parent.name == FEATURES

    def needs(use: _Use) -> bool:
        return name in use.names or (is_features and bool(use.unknown) and (not corpus or corpus in use.unknown))

    return Entry(name, size, used, corpus, tuple(sorted({study for study, use in uses if needs(use)})), False)


def _use(raw: Mapping[str, Any], cache: Path) -> _Use:
    names = set()
    sources = [source for key in ("source", "validation_source") if (source := raw.get("corpus", {}).get(key))]
    try:
        config = TrainerConfig.from_mapping({**raw, "paths": {"cache": str(cache)}})
        embedded = [cache / CORPORA / parse_name(source).folder for source in sources if source.startswith(PREFIX)]
        names |= {str(folder.relative_to(cache)) for folder in embedded}
        # An embedded corpus that is not there has no features: written again, it has other times.
        if all(folder.is_dir() for folder in embedded) and (features := locate_features(config)) is not None:
            names.add(str(features.relative_to(cache)))
    except (UserError, OSError):
        return _Use(frozenset(names), frozenset(sources or [""]))
    return _Use(frozenset(names), frozenset())


def _measured(folder: Path) -> tuple[int, float]:
    """-> bytes of its files, when it was last used: its own time is set at each use."""
    size, used = 0, folder.stat().st_mtime
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a preparation goes on
            status = path.lstat()
            size += 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            used = max(used, status.st_mtime)
    return size, used


def _lock_all(unfinished: Path, stack: ExitStack) -> bool:
    """Take the locks of all preparations in `unfinished`; False where one is at work."""
    files = [stack.enter_context(path.open("a")) for path in unfinished.glob("*.lock")]
    return all(try_lock(file) for file in files)


def _remove(path: Path) -> bool:
    """False where a preparation has begun meanwhile. A folder is renamed first, so that nobody opens half of it."""
    with ExitStack() as stack:
        if path.name == UNFINISHED:
            there = list(path.iterdir())
            if not _lock_all(path, stack):
                return False
        else:
            away = path.with_name(f".{path.name}{REMOVED}")
            path.rename(away)
            there = [away]
        for one in there:
            shutil.rmtree(one, ignore_errors=True) if one.is_dir() else one.unlink(missing_ok=True)
    return True
