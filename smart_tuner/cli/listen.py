"""`smart-tuner listen`: the best trials side by side, to hear and rate."""

from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner
from smart_tuner.cli.options import Name, Storage, Study, Workspace
from smart_tuner.ui import AUDITION_PORT


def listen(
    study: Study = None,
    top: Annotated[int, typer.Option("--top", "-n", min=1, max=20, help="Number of trials.")] = 4,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the page, for this machine only; if it is taken, the next free one. 0: any free port.",
        ),
    ] = AUDITION_PORT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the page to this file instead, without ratings.")
    ] = None,
    opened: Annotated[bool, typer.Option("--open/--no-open", help="Open the browser.")] = True,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Listen to the best trials side by side, each with the same sentences, and rate them. Ctrl-C ends it."""
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    from smart_tuner.pages.listen import RETRY_SECONDS, serve_audition
    from smart_tuner.pages.page_files import write_audition
    from smart_tuner.store.storage import may_write

    if output is not None:
        typer.echo(write_audition(tuner.study(), tuner.settings.workspace, output, top))
    else:
        found = tuner.study(retry_seconds=RETRY_SECONDS)
        rates = may_write(tuner.settings.storage_url)
        if not rates:
            typer.echo("The store cannot be written to from here: the page shows stars, but accepts none.", err=True)
        serve_audition(found, tuner.settings.workspace, top, port, typer.echo, opened=opened, rates=rates)
