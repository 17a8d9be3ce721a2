"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Study = Annotated[
    str, typer.Option("--study", "-s", help="A study: path of a YAML file, or the name of a shipped one.")
]
Name = Annotated[str | None, typer.Option(help="Call the study so, instead of the name in its file.")]
Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", help="Folder that holds all a run leaves behind. [workspace]")
]
Storage = Annotated[
    str | None, typer.Option(help="SQL store of the studies, as a URL. [sqlite:///WORKSPACE/studies.db]")
]
TrackingUri = Annotated[
    str | None, typer.Option(help="MLflow store or server, as a URL. [sqlite:///WORKSPACE/mlflow.db]")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the study, e.g. budget.frames=200_000. Repeatable."
    ),
]
Jobs = Annotated[str | None, typer.Option("--jobs", "-j", help="Trials at a time. [auto: one per GPU, else per core]")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, or one such as cuda:1. [auto]")]
Devices = Annotated[str | None, typer.Option(help="Which GPUs, such as 0,1. [auto: all, busy ones last]")]
TrialsPerDevice = Annotated[int | None, typer.Option(help="Trials at once on one GPU. [1]")]
ExecutorName = Annotated[str | None, typer.Option("--executor", help="local or ray. [local]")]
RayAddress = Annotated[str | None, typer.Option(help="Address of a Ray cluster. [RAY_ADDRESS, else this machine]")]
