"""`smart-tuner resume`: lets a stopped study continue."""

import typer

from smart_tuner.cli.opening import all_its_trials, existing_tuner
from smart_tuner.cli.options import Name, OnlyStudy, Storage, Workspace


def resume(
    study: OnlyStudy = None,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Let workers continue a stopped study. Starts no worker."""
    tuner = existing_tuner(study, name, changes_it=True, workspace=workspace, storage=storage)
    if tuner.resume():
        typer.echo(f"Study {tuner.spec.name!r} may continue; `smart-tuner worker` runs its trials.")
    else:
        typer.echo(all_its_trials(tuner))
