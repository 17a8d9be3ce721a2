"""`smart-tuner best`: shows the best trial."""

from typing import Annotated, Literal

import typer

from smart_tuner.cli.opening import existing_tuner, make_console, store_options
from smart_tuner.cli.options import Name, Storage, Study, TrackingUri, Workspace


def best(
    study: Study = None,
    form: Annotated[Literal["table", "json", "yaml"], typer.Option("--format", "-f", help="Output format.")] = "table",
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    name: Name = None,
) -> None:
    """Print the best trial: parameters, figures, checkpoint. Exit code 3 while no trial is feasible."""
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    from smart_tuner.terminal.summary import show_best

    show_best(tuner.result(), form, make_console(), tuner.spec, store_options(tuner.settings))
