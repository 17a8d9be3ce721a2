"""Corrects the paths of artifacts in MLflow's store when its workspace was moved or copied; they are absolute.

MLflow itself has no way to change the location of a run's artifacts. Only a SQLite store with the artifacts beside it,
as in a workspace, is changed. A server decides itself where its artifacts are.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from smart_tuner.mlflow_mirror.settings import STUDY_KEY, TRIAL_KEY

_log = logging.getLogger(__name__)

ARTIFACTS = "mlartifacts"  # beside the store
SQLITE = "sqlite:///"
_BUSY_SECONDS = 60.0
# The columns of MLflow's tables that may have the location of artifacts.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)


def relocate_artifacts(tracking_uri: str, key: str | None = None) -> bool:
    """Correct the locations of artifacts in the store, and return whether any was changed.

    The location of MLflow's default experiment is the store's own former folder, and all that is below it is corrected.
    If the default experiment is elsewhere, as in a store that an MLflow server created, only runs of the study with
    this key are, if their folders are beside the store now. Artifacts of other workspaces that use the store stay where
    they are. Nothing is written if the locations are right, and never to the former ones. Raises sqlite3.Error.
    """
    database = Path(tracking_uri.removeprefix(SQLITE))
    if not tracking_uri.startswith(SQLITE) or not database.is_file():
        return False
    here = (database.parent / ARTIFACTS).resolve()
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection, connection:
        default = _default_location(connection)
        former = default.removesuffix("/0")
        if not former.startswith("file://") or not former.endswith(f"/{ARTIFACTS}"):
            moved = bool(default and key and _relocate_runs(connection, key, here))
        else:
            moved = not _is_same(former, here)
            if moved:
                _rename(connection, former, here.as_uri())
    if moved:
        _log.info("%s: the locations of the artifacts were corrected to %s", database, here)
    return moved


def _default_location(connection: sqlite3.Connection) -> str:
    """Where MLflow's default experiment has its artifacts; empty if the file is not a store yet."""
    try:
        row = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return ""
    return str(row[0]) if row else ""


def _relocate_runs(connection: sqlite3.Connection, key: str, here: Path) -> bool:
    """Correct the locations of the study's runs whose folders are in `here`, and of their experiment."""
    runs = connection.execute(
        "SELECT DISTINCT artifact_uri, experiment_id FROM runs JOIN tags USING (run_uuid) "
        "WHERE tags.key IN (?, ?) AND substr(tags.value || '/', 1, length(?) + 1) = ? || '/'",
        (STUDY_KEY, TRIAL_KEY, key, key),
    ).fetchall()
    moved = [(uri, experiment) for uri, experiment in runs if _has_moved(uri, here)]
    for uri, _ in moved:
        _rename(connection, uri, _in(uri, here).as_uri())
    for experiment in {experiment for _, experiment in moved}:
        (location,) = connection.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = ?", (experiment,)
        ).fetchone()
        if _has_moved(location, here):
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (_in(location, here).as_uri(), experiment),
            )
    return bool(moved)


def _has_moved(uri: str, here: Path) -> bool:
    """Whether the folder is in `here` and the URI names another place; a copied one is in both."""
    is_ours = uri.startswith("file://") and f"/{ARTIFACTS}" in uri
    return is_ours and _in(uri, here).is_dir() and not _is_same(uri, _in(uri, here))


def _in(uri: str, here: Path) -> Path:
    """The place in `here` of a URI's folder."""
    return here / unquote(uri.rpartition(f"/{ARTIFACTS}")[2]).lstrip("/")


def _is_same(uri: str, here: Path) -> bool:
    """Whether the URI names this folder, perhaps by another path."""
    if uri == here.as_uri():
        return True
    there = Path(unquote(urlsplit(uri).path))
    return there.exists() and here.exists() and there.samefile(here)


def _rename(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in _LOCATIONS:
        if any(found[1] == column for found in connection.execute(f"PRAGMA table_info({table})")):
            connection.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
                f"WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                {"old": old, "new": new},
            )
