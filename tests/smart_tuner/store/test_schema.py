"""Stores with the tables of another version of Optuna."""

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from smart_tuner.errors import StorageError
from smart_tuner.store.storage import open_storage, upgrade_storage


def schema_of(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {str(row) for row in connection.execute("SELECT type, name, sql FROM sqlite_master")}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A store with a study, downgraded to the tables of an older Optuna."""
    from alembic import command
    from alembic.config import Config

    file = tmp_path / "s.db"
    optuna.create_study(storage=open_storage(f"sqlite:///{file}"), study_name="old")
    config = Config()
    config.set_main_option("script_location", str(Path(optuna.__file__).parent / "storages/_rdb/alembic"))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{file}")
    ScriptDirectory.from_config(config)
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:  # the last migration made this index under another name than in a new store
        connection.execute(text("CREATE INDEX trials_study_id_key ON trials (study_id)"))
    engine.dispose()
    command.downgrade(config, "v3.0.0.c")
    return file


def test_a_store_of_an_older_optuna_is_not_touched_before_it_is_upgraded(older: Path) -> None:
    before = schema_of(older)
    with pytest.raises(
        StorageError, match=r"older Optuna \(tables of version v3\.0\.0\.c; .*run `smart-tuner upgrade`"
    ):
        open_storage(f"sqlite:///{older}")
    assert schema_of(older) == before
    upgrade = upgrade_storage(f"sqlite:///{older}")
    assert str(upgrade) == f"The tables had version v3.0.0.c, and have {upgrade.now} now."
    storage = open_storage(f"sqlite:///{older}")
    assert storage.get_current_version() == storage.get_head_version() == upgrade.now
    study = optuna.load_study(study_name="old", storage=storage)
    study.add_trial(optuna.trial.create_trial(value=float("inf")))
    assert study.trials[0].value == float("inf")  # which the older tables could not hold
    again = upgrade_storage(f"sqlite:///{older}")
    assert str(again) == f"The tables have version {upgrade.now} already: nothing to do."


def test_a_store_of_a_newer_optuna_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    open_storage(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        connection.execute("DROP TABLE trial_heartbeats")
    before = schema_of(file)
    for step in (open_storage, upgrade_storage):
        with pytest.raises(StorageError, match=r"newer Optuna \(tables of version v99\.0\.0\.a; .* Update Smart Tuner"):
            step(f"sqlite:///{file}")
    assert schema_of(file) == before


def test_nothing_is_made_where_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no study was ever run with it"):
        upgrade_storage(f"sqlite:///{tmp_path}/s.db")
    assert not list(tmp_path.iterdir())
