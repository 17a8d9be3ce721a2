"""Shows what became of each trial."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, make_console
from smart_tuner.cli.options import Name, Storage, Study, Workspace


def status(
    study: Study = "quickstart",
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow until the study has its trials; Ctrl-C ends it.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List every trial, however many; else the best 20.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Show what runs, how far it is, and what became of each trial and why."""
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    stored, console = tuner.stored(), make_console()
    if watch:
        from smart_tuner.cli.output import somebody_reads
        from smart_tuner.terminal.watch import watch_study

        watch_study(stored.view, console, somebody_reads)
    else:
        from smart_tuner.terminal.summary import print_trials

        print_trials(stored.view(), console, every=every)
