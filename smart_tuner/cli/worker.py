"""Takes trials of studies that were filed."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console, settings_from
from smart_tuner.cli.options import (
    Device,
    Devices,
    ExecutorName,
    Jobs,
    RayAddress,
    Storage,
    TrackingUri,
    TrialsPerDevice,
    Workspace,
)


def worker(
    studies: Annotated[
        list[str] | None,
        typer.Option("--study", "-s", help="Name of a study to work on. Repeatable. [all that lack trials]"),
    ] = None,
    stay: Annotated[bool, typer.Option("--stay", help="Wait for further studies when there is nothing to do.")] = False,
    jobs: Jobs = None,
    device: Device = None,
    devices: Devices = None,
    trials_per_device: TrialsPerDevice = None,
    executor: ExecutorName = None,
    ray_address: RayAddress = None,
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Take trials of the studies in the store, until each has its number.

    Start as many as you like, on as many machines as see the store, and stop any at will: no trial is lost, none is
    run twice.
    """
    settings = settings_from(
        workspace=workspace,
        storage=storage,
        tracking_uri=tracking_uri,
        jobs=jobs,
        device=device,
        devices=devices,
        trials_per_device=trials_per_device,
        executor=executor,
        ray_address=ray_address,
    )
    from smart_tuner.executors.registry import make_executor
    from smart_tuner.run.worker import run_worker

    worked = run_worker(settings, make_executor(settings), make_console(), studies or (), stay=stay)
    if not worked:
        typer.echo("Nothing to do: every study has its trials, or is stopped.")
    for name, halt in worked.items():
        if halt is None:
            typer.echo(f"Study {name!r} has its trials.")
        else:
            typer.echo(f"Study {name!r} lacks trials: {halt}. `smart-tuner resume --study {name}` lets it go on.")
