"""`smart-tuner upgrade`: brings the tables of an older Optuna up to date."""

import typer

from smart_tuner.cli.opening import settings_from
from smart_tuner.cli.options import Storage, Workspace


def upgrade(workspace: Workspace = None, storage: Storage = None) -> None:
    """Bring the tables of a store that an older Optuna created up to date. Nothing may use the store meanwhile."""
    settings = settings_from(workspace=workspace, storage=storage)
    from smart_tuner.store.storage import upgrade_storage

    typer.echo(str(upgrade_storage(settings.storage_url)))
