"""The options that several commands share, and a decorator for all options of commands that run trials."""

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from smart_tuner.cli.completion import stored_studies
from smart_tuner.executors.registry import EXECUTORS

_STUDY = "A study: the name of a study in the store, or the path of its YAML file"
Study = Annotated[
    str | None,
    typer.Option(
        "--study",
        "-s",
        help=f"{_STUDY} (default: the study of the store that was used last).",
        autocompletion=stored_studies,
    ),
]
OnlyStudy = Annotated[
    str | None,
    typer.Option(
        "--study",
        "-s",
        help=f"{_STUDY} (default: the store's only one; of several, name one).",
        autocompletion=stored_studies,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(help="Name of the study in the store, if not that in its YAML file.", autocompletion=stored_studies),
]
Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", help="Folder for all files of studies (default: workspace).")
]
Storage = Annotated[
    str | None, typer.Option(help="SQL store of the studies, as a URL (default: sqlite:///WORKSPACE/studies.db).")
]
TrackingUri = Annotated[
    str | None, typer.Option(help="MLflow store or server, as a URL (default: sqlite:///WORKSPACE/mlflow.db).")
]
Corpus = Annotated[
    str | None, typer.Option(help="demo:en, demo:ru:1000, demo:en:300:f3, a folder of recordings and texts, or a list.")
]
CheckCorpus = Annotated[
    bool,
    typer.Option(
        "--check-corpus/--no-check-corpus",
        help="Check the corpus first: its lists, texts and files; else this is done when its trials are to begin.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the study, e.g. budget.frames=200_000. Repeatable."
    ),
]
WarmStart = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STUDY",
        help="Begin with the best settings of this study of the store, also of another corpus. Repeatable.",
    ),
]
Jobs = Annotated[
    str | None,
    typer.Option("--jobs", "-j", help="Trials at a time (default: auto, one per GPU, or one per core)."),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, or one such as cuda:1 (default: auto).")]
Devices = Annotated[
    str | None, typer.Option(help="Which GPUs, such as 0,1 (default: auto, all of them, busy ones last).")
]
TrialsPerDevice = Annotated[int | None, typer.Option(help="Trials at once on one GPU (default: 1).")]
ExecutorName = Annotated[str | None, typer.Option("--executor", help=f"{' or '.join(EXECUTORS)} (default: local).")]
RayAddress = Annotated[
    str | None, typer.Option(help="Address of a Ray cluster (default: RAY_ADDRESS, else this machine).")
]

# The options of commands that run trials, by their names in `smart_tuner.config.Settings`.
_RUNNING: Mapping[str, Any] = {
    "jobs": Jobs,
    "device": Device,
    "devices": Devices,
    "trials_per_device": TrialsPerDevice,
    "executor": ExecutorName,
    "ray_address": RayAddress,
    "workspace": Workspace,
    "storage": Storage,
    "tracking_uri": TrackingUri,
}
Given = Mapping[str, Any]  # settings by name; None if the option was not given


def runs_trials(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_RUNNING`, which it gets as one parameter, `settings: Given`."""

    @functools.wraps(command)
    def run(**values: Any) -> None:
        settings = {name: values.pop(name) for name in _RUNNING}
        command(**values, settings=settings)

    own = [option for option in inspect.signature(command).parameters.values() if option.name != "settings"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _RUNNING.items()
    ]
    own = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in own]
    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in (*own, *added)}
    return run
