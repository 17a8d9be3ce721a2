"""`smart-tuner delete`: deletes a study and its files in the workspace."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner
from smart_tuner.cli.options import Name, OnlyStudy, Storage, Workspace


def delete(
    study: OnlyStudy = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Delete a study: its trials, their folders with all checkpoints, and its TensorBoard logs. Asks first."""
    tuner = existing_tuner(study, name, changes_it=True, workspace=workspace, storage=storage)
    typer.echo(tuner.what_delete_would_do())
    if not yes:
        typer.confirm("Delete it?", abort=True)
    tuner.delete()
    typer.echo("Deleted. Its runs in MLflow and its reports are kept.")
