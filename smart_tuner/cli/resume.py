"""`smart-tuner resume`: lets a stopped study continue."""

import typer

from smart_tuner.cli.opening import all_its_trials, existing_tuner
from smart_tuner.cli.options import Name, Storage, Study, Workspace


def resume(
    study: Study = "quickstart",
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Let workers continue a stopped study. Starts no worker."""
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    if tuner.resume():
        typer.echo(f"Study {tuner.spec.name!r} may continue; `smart-tuner worker` runs its trials.")
    else:
        typer.echo(all_its_trials(tuner))
