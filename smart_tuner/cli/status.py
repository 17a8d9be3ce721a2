"""`smart-tuner status`: shows the progress of a study and its trials."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, make_console
from smart_tuner.cli.options import Name, Storage, Study, Workspace


def status(
    study: Study = "quickstart",
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow until the study has its trials; Ctrl-C ends it.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List all trials; else, of more than 20, the best 20.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Show the running trials with their progress, and the outcome of each other one with its reason."""
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    stored, console = tuner.stored(), make_console()
    if watch:
        from smart_tuner.cli.output import somebody_reads
        from smart_tuner.terminal.watch import watch_study

        watch_study(stored.view, console, somebody_reads)
    else:
        from smart_tuner.terminal.summary import print_trials

        print_trials(stored.view(), console, every=every)
