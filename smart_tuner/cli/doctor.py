"""`smart-tuner doctor`: what is wrong with this machine."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console, settings_from
from smart_tuner.cli.options import Storage, TrackingUri, Workspace


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Check this machine: what is wrong with it, and how to mend it. Changes nothing, and sends no message.

    Exit code 0: no error; 1: at least one.
    """
    from functools import partial

    from smart_tuner.doctor.examination import examine
    from smart_tuner.doctor.output import as_json, print_findings
    from trainer.findings import State, worst

    read = partial(settings_from, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    findings = examine(read, make_console(stderr=True))
    if json:
        typer.echo(as_json(findings))
    else:
        print_findings(findings, make_console())
    if worst(findings) is State.ERROR:
        raise typer.Exit(1)
