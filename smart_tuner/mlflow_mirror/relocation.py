"""Corrects the paths of artifacts in MLflow's store when its workspace was moved or copied; they are absolute.

MLflow itself has no way to change the location of a run's artifacts. Only a SQLite store with the artifacts beside it,
as in a workspace, is changed. A server decides itself where its artifacts are.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

_log = logging.getLogger(__name__)

ARTIFACTS = "mlartifacts"  # beside the store
_SQLITE = "sqlite:///"
_BUSY_SECONDS = 60.0
# The columns of MLflow's tables that may have the location of artifacts.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)


def relocate_artifacts(tracking_uri: str, experiment: str | None = None) -> bool:
    """Correct the locations of artifacts in the store, and return whether any was changed.

    experiment: one of the store's workspace, if known; its location, or that of MLflow's default experiment, is the
    former one. Nothing is written if the locations are right, and never to the former ones. Raises sqlite3.Error.
    """
    database = Path(tracking_uri.removeprefix(_SQLITE))
    if not tracking_uri.startswith(_SQLITE) or not database.is_file():
        return False
    here = (database.parent / ARTIFACTS).resolve()
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
        known = _former_folders(connection, experiment)
        moved = [folder for folder in known if not _is_same(folder, here)]
        with connection:
            for folder in moved:
                _rename(connection, folder, here.as_uri())
    if moved:
        _log.info("%s: the locations of the artifacts were corrected to %s", database, here)
    return bool(moved)


def _former_folders(connection: sqlite3.Connection, experiment: str | None) -> set[str]:
    """The URIs that the store has for the folder of artifacts beside it."""
    try:
        rows = connection.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = 0 OR name = ?", (experiment,)
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return set()  # the file is not a store yet
    folders = (str(location).removesuffix("/0") for (location,) in rows)
    return {folder for folder in folders if folder.startswith("file://") and folder.endswith(f"/{ARTIFACTS}")}


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
