"""`smart-tuner ui`: shows a workspace in the browser."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console, settings_from
from smart_tuner.cli.options import Storage, TrackingUri, Workspace
from smart_tuner.ui import Page


def _port(page: Page) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        min=1, max=65535, help=f"Port of {page.label}; if it is taken, the next free one."
    )
    return option


def ui(
    only: Annotated[list[Page] | None, typer.Option(help="Show only this page. Repeatable (default: all).")] = None,
    optuna_port: Annotated[int, _port(Page.OPTUNA)] = Page.OPTUNA.port,
    mlflow_port: Annotated[int, _port(Page.MLFLOW)] = Page.MLFLOW.port,
    tensorboard_port: Annotated[int, _port(Page.TENSORBOARD)] = Page.TENSORBOARD.port,
    host: Annotated[str, typer.Option(help="Address to listen at. There is no password.")] = "127.0.0.1",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Answer requests for this host name alone. Repeatable (default: at a loopback address its own names)."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the pages in the browser.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Show the workspace in optuna-dashboard, MLflow and TensorBoard until Ctrl-C. Trials may run meanwhile."""
    settings = settings_from(workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    from smart_tuner.ui.supervisor import show_pages

    ports = {Page.OPTUNA: optuna_port, Page.MLFLOW: mlflow_port, Page.TENSORBOARD: tensorboard_port}
    shown = {page: port for page, port in ports.items() if not only or page in only}
    show_pages(settings, shown, host, make_console(), names=allowed_host or (), browser=browser)
