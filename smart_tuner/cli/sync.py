"""`smart-tuner sync`: brings MLflow, TensorBoard's table of trials and the dashboard's notes up to date."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, make_console
from smart_tuner.cli.options import Name, Storage, Study, TrackingUri, Workspace


def sync(
    study: Study = None,
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    name: Name = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compare all that MLflow has, point by point, and repair what is wrong.")
    ] = False,
) -> None:
    """Bring MLflow, TensorBoard's table and the dashboard's notes up to date. A second run changes nothing."""
    from rich.progress import Progress

    from smart_tuner.formatting import counted

    tuner = existing_tuner(study, name, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    console = make_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("trials", total=None)
        done = tuner.sync(repair=repair, progress=lambda n, total: bar.update(task, completed=n, total=total))
    typer.echo("TensorBoard's table and the dashboard's notes are up to date.")
    if done is None:
        typer.echo(
            "MLflow is switched off by the setting `mlflow`; with SMART_TUNER_MLFLOW=true it gets the trials as well."
        )
        return
    if done.relocated:
        typer.echo("The workspace was moved: the paths of artifacts in MLflow's store are corrected.")
    typer.echo(
        f"MLflow is up to date with study {tuner.spec.name!r}: "
        f"{counted(done.created, 'run')} created, {done.repaired} repaired, {done.unchanged} unchanged."
    )
