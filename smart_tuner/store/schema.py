"""The version of Optuna's tables in a store: tables of another version are refused, or upgraded on request."""

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

import optuna
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine

from smart_tuner.errors import StorageError
from smart_tuner.masking import masked
from smart_tuner.store.optuna_internals import MIGRATIONS
from smart_tuner.store.retrying import RetryingStorage


@dataclass(frozen=True)
class Upgrade:
    """Versions of the tables, as Optuna names them: v3.2.0.a."""

    was: str | None  # None: from before Optuna stored versions, or no store at all
    now: str

    def __str__(self) -> str:
        if self.was == self.now:
            return f"The tables have version {self.now} already: nothing to do."
        return f"The tables had version {self.was or 'unknown'}, and have {self.now} now."


def refuse_other_schema(url: str, engine_arguments: dict[str, Any]) -> bool:
    """Whether the store has tables. Raises StorageError where another Optuna made them; nothing is touched."""
    found = schema_version(url, engine_arguments)
    known = _known_versions()
    if found is None or found == known[0]:
        return found is not None
    if found in known:
        raise StorageError(
            f"storage {masked(url)!r}: was made by an older Optuna (tables of version {found}; Optuna "
            f"{optuna.__version__} needs {known[0]}). Stop what uses it, keep a copy, and run `smart-tuner upgrade`."
        )
    raise StorageError(
        f"storage {masked(url)!r}: was made by a newer Optuna (tables of version {found}; Optuna "
        f"{optuna.__version__} knows those up to {known[0]}). Update Smart Tuner with what it needs, or use the "
        "environment that made this store."
    )


def schema_version(url: str, engine_arguments: dict[str, Any]) -> str | None:
    """None where there are no tables, or tables from before Optuna stored versions."""
    engine = create_engine(url, **{**engine_arguments, "poolclass": NullPool})
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade_schema(url: str, engine_arguments: dict[str, Any]) -> Upgrade:
    """Bring the tables to this Optuna's version. Tables that have it stay as they are."""
    was = schema_version(url, engine_arguments)
    if was is not None and was not in _known_versions():
        refuse_other_schema(url, engine_arguments)
    quiet = logging.NullHandler()  # without any handler, Optuna's migrations set up logging of their own
    logging.getLogger().addHandler(quiet)
    try:
        storage = RetryingStorage(url, retry_seconds=0, engine_kwargs=engine_arguments, skip_compatibility_check=True)
        try:
            storage.upgrade()
            return Upgrade(was, storage.get_current_version())
        finally:
            storage.remove_session()
            storage.engine.dispose()
    finally:
        logging.getLogger().removeHandler(quiet)


@cache  # alembic runs all migration files to find them
def _known_versions() -> tuple[str, ...]:
    """Newest first."""
    return tuple(script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())
