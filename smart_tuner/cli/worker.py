"""`smart-tuner worker`: runs trials of submitted studies."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console, settings_from
from smart_tuner.cli.options import Given, runs_trials


@runs_trials
def worker(
    settings: Given,
    studies: Annotated[
        list[str] | None,
        typer.Option(
            "--study", "-s", help="Name of a study to work on. Repeatable (default: all that have trials to do)."
        ),
    ] = None,
    stay: Annotated[bool, typer.Option("--stay", help="Wait for more studies when there is nothing to do.")] = False,
) -> None:
    """Run trials of the studies in the store until each has as many as asked for.

    Start as many workers as you like, on all machines that reach the store, and stop any at any time: no trial is lost,
    and none runs twice.
    """
    loaded = settings_from(**settings)
    from smart_tuner.executors.registry import make_executor
    from smart_tuner.run.worker import run_worker

    worked = run_worker(loaded, make_executor(loaded), make_console(), studies or (), stay=stay)
    if not worked:
        typer.echo("Nothing to do: every study has its trials, or is stopped.")
    for name, halt in worked.items():
        if halt is None:
            typer.echo(f"Study {name!r} has its trials.")
        else:
            typer.echo(f"Study {name!r} lacks trials: {halt}. `smart-tuner resume --study {name}` continues it.")
