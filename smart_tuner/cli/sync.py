"""Brings MLflow, and TensorBoard's table of trials, up to date."""

import typer

from smart_tuner.cli.opening import existing_tuner
from smart_tuner.cli.options import Name, Storage, Study, TrackingUri, Workspace


def sync(
    study: Study = "quickstart",
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    name: Name = None,
) -> None:
    """Bring MLflow, and TensorBoard's table of trials, up to date with the study. Run twice, it changes nothing."""
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    tuner.sync()
    typer.echo(f"MLflow is up to date with study {tuner.spec.name!r}.")
