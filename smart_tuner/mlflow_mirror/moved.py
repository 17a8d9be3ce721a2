"""A workspace that was moved or copied: MLflow's store in it names artifacts by absolute paths, and is set right here.

MLflow itself offers no way to change where a run's artifacts lie. Touched is only a SQLite store with the artifacts
beside it, as a workspace holds them; where a server's artifacts lie, the server decides.
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
# Whatever of MLflow's tables may name a place of artifacts.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)


def follow_artifacts(tracking_uri: str, experiment: str | None = None) -> bool:
    """Have the store name its artifacts where they lie now; whether that changed anything.

    experiment: one of the workspace that the store lies in, if one is known; else MLflow's own first one tells where
    the artifacts lay. Nothing is written where they are where they were, nor to where they were. Raises sqlite3.Error.
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
        _log.info("%s: the artifacts are named where they lie now, %s", database, here)
    return bool(moved)


def _former_folders(connection: sqlite3.Connection, experiment: str | None) -> set[str]:
    """The URIs by which the store knows the folder of artifacts beside it."""
    try:
        rows = connection.execute(
            "SELECT artifact_location FROM experiments WHERE experiment_id = 0 OR name = ?", (experiment,)
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return set()  # it is no store yet
    places = (str(place).removesuffix("/0") for (place,) in rows)
    return {place for place in places if place.startswith("file://") and place.endswith(f"/{ARTIFACTS}")}


def _is_same(uri: str, here: Path) -> bool:
    """Also by another name of the same folder."""
    if uri == here.as_uri():
        return True
    there = Path(unquote(urlsplit(uri).path))
    return there.exists() and here.exists() and there.samefile(here)


def _rename(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in _PLACES:
        if any(found[1] == column for found in connection.execute(f"PRAGMA table_info({table})")):
            connection.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
                f"WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                {"old": old, "new": new},
            )
