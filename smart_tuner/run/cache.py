"""The cache of a workspace: what it holds, which study uses what, and the removal of what none uses.

The trainer knows the cache, so that it runs as a process; this module gives it the studies: those of the store, and
those that have trials in the workspace.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from smart_tuner.cache import CacheEntry
from smart_tuner.config import Settings
from smart_tuner.errors import NoStudies, StudyError
from smart_tuner.run.corpus import shared_config
from smart_tuner.run.trainer_command import run_trainer
from smart_tuner.store.attributes import StudyAttr
from smart_tuner.store.storage import open_to_read
from smart_tuner.study import spec_of
from smart_tuner.workspace import Workspace, anchored


def cache_entries(settings: Settings, console: Console) -> list[CacheEntry]:
    """The largest first. Raises StorageError where the store cannot be read: its studies would not be known."""
    return _call(settings, console, [])


def remove_entries(settings: Settings, entries: Sequence[CacheEntry], console: Console) -> list[CacheEntry]:
    """Remove those of `entries` that still are not used or being built; return them. Raises as `cache_entries`."""
    return _call(settings, console, [f"--remove={entry.name}" for entry in entries]) if entries else []


def _call(settings: Settings, console: Console, options: Sequence[str]) -> list[CacheEntry]:
    users = [{"study": study, "config": config} for study, config in _users(settings)]
    with tempfile.TemporaryDirectory(prefix="smart-tuner-") as folder:
        path = Path(folder) / "users.json"
        path.write_text(json.dumps(users), encoding="utf-8")
        result = run_trainer(
            ["cache", str(Workspace(settings.workspace).cache), "--users", str(path), *options],
            console,
            task="reading the cache",
            interrupted="stopping; what is removed is removed",
        )
    return [CacheEntry(**entry) for entry in result.get("entries", result.get("removed", []))]


def _users(settings: Settings) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each study with the configuration of its trials, as far as it is known; a study may come twice."""
    with suppress(NoStudies):
        storage = open_to_read(settings.storage_url)
        for name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            if (definition := study.user_attrs.get(StudyAttr.DEFINITION)) is not None:
                yield name, _config_of(study, definition)
    for folder in sorted((settings.workspace / "runs").glob("*")):
        for path in sorted(folder.glob("trial-*/config.json"))[:1]:  # no searched parameter changes the features
            with suppress(OSError, ValueError):
                yield folder.name, json.loads(path.read_text(encoding="utf-8"))


def _config_of(study: optuna.Study, definition: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return asdict(anchored(shared_config(spec_of(study), "cpu", {})))
    except StudyError:  # of another version: its corpus alone is known
        return {"preset": "unknown", "corpus": {"source": definition["corpus"]}}
