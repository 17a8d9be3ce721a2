"""`smart-tuner stop`: stops a study on all machines."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import all_its_trials, existing_tuner
from smart_tuner.cli.options import Name, OnlyStudy, Storage, Workspace


def stop(
    study: OnlyStudy = None,
    now: Annotated[
        bool, typer.Option("--now", help="Kill the trials: training after their last checkpoint is lost.")
    ] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Stop a study on all machines: its trials save their state and exit. `resume` continues it."""
    tuner = existing_tuner(study, name, changes_it=True, workspace=workspace, storage=storage)
    if not tuner.stop(now=now):
        typer.echo(all_its_trials(tuner))
        return
    typer.echo(
        f"Study {tuner.spec.name!r} is stopped; its workers see it within seconds. "
        f"`smart-tuner resume --study {tuner.spec.name}` continues it."
    )
