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
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """List the trials: what became of each, and why."""
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    from smart_tuner.terminal.tables import print_trials, watch_trials

    if watch:
        watch_trials(tuner.study(), make_console())
    else:
        print_trials(tuner.study(), make_console())
