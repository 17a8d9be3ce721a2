"""`smart-tuner studies`: lists the studies of a store."""

from typing import Annotated, Literal

import typer

from smart_tuner.cli.opening import make_console, settings_from
from smart_tuner.cli.options import Storage, Workspace


def studies(
    form: Annotated[Literal["table", "json"], typer.Option("--format", "-f", help="Output format.")] = "table",
    workspace: Workspace = None,
    storage: Storage = None,
) -> None:
    """List the studies of a store: the state of each, its trials by outcome, and the best one."""
    settings = settings_from(workspace=workspace, storage=storage)
    from smart_tuner.overview import overviews
    from smart_tuner.store.storage import open_to_read
    from smart_tuner.terminal.studies_table import print_studies, studies_json

    found = list(overviews(open_to_read(settings.storage_url)))
    if form == "json":
        typer.echo(studies_json(found))
    else:
        print_studies(found, make_console())
