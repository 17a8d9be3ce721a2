"""`smart-tuner enqueue`: adds a trial with given parameters to a study."""

from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, store_options
from smart_tuner.cli.options import Name, OnlyStudy, Storage, Workspace


def enqueue(
    study: OnlyStudy = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A parameter of the trial, e.g. optimizer.lr=1e-3. Repeatable."
        ),
    ] = None,
    like: Annotated[
        int | None,
        typer.Option(
            "--like",
            "--from-trial",
            help="Take the other parameters of this trial (default: the sampler chooses).",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Take them from this file: of `smart-tuner best --format yaml`, or of a report's recipe."),
    ] = None,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Add a trial with parameters of your own. A free worker runs it next; a finished study gets one trial more.

    Trials that a lower --trials had left out go on, too: a study has trials by their numbers.
    """
    from smart_tuner.errors import UserError
    from smart_tuner.formatting import counted, readable
    from smart_tuner.spec import parse_overrides

    if like is not None and file is not None:
        raise UserError("--like and --file both give the other parameters; give one of them.")
    tuner = existing_tuner(study, name, changes_it=True, workspace=workspace, storage=storage)
    added = tuner.enqueue(parse_overrides(setting or []), file if like is None else like)
    given = ", ".join(f"{key} = {readable(value)}" for key, value in added.setting.items())
    typer.echo(f"Trial {added.number} of study {tuner.spec.name!r} is next, with {given}.")
    if added.raised is not None:
        if others := added.raised.going_on:
            typer.echo(f"{counted(others, 'trial')} that a lower --trials had left out will go on, too.")
        typer.echo(
            f"The study has {added.raised.target} trials now. Where no worker is at work: "
            f"smart-tuner optimize --name {tuner.spec.name}{store_options(tuner.settings)}"
        )
