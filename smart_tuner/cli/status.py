"""`smart-tuner status`: shows the progress of a study and its trials."""

from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, make_console, settings_from
from smart_tuner.cli.options import Name, Storage, Study, Workspace


def _being_prepared(named: str | None, workspace: Path | None) -> str:
    """Of studies that the store does not have yet; empty where none of them is the one that is meant."""
    from smart_tuner.preparations import preparations
    from smart_tuner.workspace import Workspace as Folders

    found = preparations(Folders(settings_from(workspace=workspace).workspace))
    return " ".join(f"Study {each.study!r} is about to begin: {each}." for each in found if named in (None, each.study))


def status(
    study: Study = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow until the study has its trials; Ctrl-C ends it.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List all trials; else, of more than 20, the best 20.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Show the running trials with their progress, and the outcome of each other one with its reason."""
    from smart_tuner.errors import NoStudies, StudyError

    try:
        tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    except (NoStudies, StudyError) as error:
        if not (begun := _being_prepared(name or study, workspace)):
            raise
        raise type(error)(f"{error} {begun}") from error
    stored, console = tuner.stored(), make_console()
    if watch:
        from smart_tuner.cli.output import somebody_reads
        from smart_tuner.terminal.watch import watch_study

        watch_study(stored.view, console, somebody_reads)
    else:
        from smart_tuner.terminal.summary import print_trials

        print_trials(stored.view(), console, every=every)
