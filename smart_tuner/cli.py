"""The command line: options in, exit codes out. What the commands do lives elsewhere and is imported when it is run,
so that `--help` answers at once."""

import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from smart_tuner.config import Settings
    from smart_tuner.main import SmartTunerMain

app = typer.Typer(
    name="smart-tuner",
    help="Tune the training of a Tacotron 2 voice: Optuna searches, trials whose attention does not align are "
    "stopped early, and the best parameters are read here or from MLflow.",
    epilog="Begin with: smart-tuner optimize --trials 10 (speaks a small corpus itself; no recordings needed).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


@app.command()
def optimize(
    study: Study = "quickstart",
    trials: Annotated[
        int | None, typer.Option("--trials", "-n", help="Finished trials the study is to have in the end.")
    ] = None,
    jobs: Annotated[
        str | None, typer.Option("--jobs", "-j", help="Trials at a time. [auto: one per GPU, else per core]")
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="demo:en, demo:ru, a folder in LJSpeech layout, or a list of `path|text` lines."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, or one such as cuda:1. [auto]")] = None,
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    name: Name = None,
    overrides: Overrides = None,
) -> None:
    """Run trials until the study has as many as asked for. Started again, it goes on where it was.

    Ctrl-C once: the trials save and leave, and the same command continues them. Twice: at once.
    """
    tuner = _tuner(
        study,
        name,
        overrides,
        corpus,
        workspace=workspace,
        storage=storage,
        tracking_uri=tracking_uri,
        jobs=jobs,
        device=device,
    )
    from smart_tuner.report import print_next_steps, print_trials, show_best

    result = tuner.optimize(trials)
    console = _console()
    print_trials(tuner.study(), console)
    try:
        show_best(result, "table", console)
    finally:  # where no trial aligns one wants to look all the more
        print_next_steps(tuner.settings, console)


@app.command()
def best(
    study: Study = "quickstart",
    form: Annotated[
        Literal["table", "json", "yaml"], typer.Option("--format", "-f", help="How to print it.")
    ] = "table",
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    name: Name = None,
) -> None:
    """Print the best trial: parameters, figures, checkpoint. Exit code 3 while no trial aligns."""
    tuner = _tuner(study, name, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    from smart_tuner.report import show_best

    show_best(tuner.result(), form, _console())


@app.command()
def status(
    study: Study = "quickstart",
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """List the trials: what became of each, and why."""
    tuner = _tuner(study, name, workspace=workspace, storage=storage)
    from smart_tuner.report import print_trials

    print_trials(tuner.study(), _console())


@app.command()
def sync(
    study: Study = "quickstart",
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    name: Name = None,
) -> None:
    """Bring MLflow up to date with the study. Run twice, it changes nothing."""
    tuner = _tuner(study, name, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    tuner.sync()
    typer.echo(f"MLflow is up to date with study {tuner.spec.name!r}.")


@app.command()
def validate(
    study: Annotated[str, typer.Argument(help="Path of a YAML file, or the name of a shipped study.")],
    overrides: Overrides = None,
) -> None:
    """Check a study's definition, and run nothing."""
    from smart_tuner.spec import load_study, parse_overrides

    spec = load_study(study, parse_overrides(overrides or []))
    typer.echo(f"{study}: fine. {len(spec.search)} parameters are searched: {', '.join(spec.search)}.")


def _tuner(
    study: str, name: str | None, overrides: list[str] | None = None, corpus: str | None = None, **settings: Any
) -> "SmartTunerMain":
    """Options that were not given are None, and leave the decision to file and environment."""
    import optuna

    from smart_tuner.config import load_settings
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.spec import parse_overrides

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # our own lines say what happens
    changes = parse_overrides(overrides or [])
    changes |= {key: value for key, value in (("name", name), ("corpus", corpus)) if value is not None}
    loaded: Settings = load_settings(**settings)
    return SmartTunerMain(study, settings=loaded, overrides=changes)


def _console() -> "Console":
    from rich.console import Console

    return Console()


def main() -> None:
    """The one place where errors become exit codes; see `smart_tuner.errors`."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except Exception as error:
        from smart_tuner.errors import SmartTunerError, exit_code
        from smart_tuner.masking import masked

        code = exit_code(error)
        # What nobody foresaw is a mistake of ours: the traceback is what helps.
        text = str(error) if code != 1 or isinstance(error, SmartTunerError) else traceback.format_exc()
        print(masked(text), file=sys.stderr)
        sys.exit(code)
