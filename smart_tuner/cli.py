"""The command line: options in, exit codes out. What the commands do lives elsewhere and is imported when it is run,
so that `--help` answers at once."""

import logging
import sys
import traceback
from contextlib import suppress
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
Jobs = Annotated[str | None, typer.Option("--jobs", "-j", help="Trials at a time. [auto: one per GPU, else per core]")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, or one such as cuda:1. [auto]")]
Devices = Annotated[str | None, typer.Option(help="Which GPUs, such as 0,1. [auto: all, busy ones last]")]
TrialsPerDevice = Annotated[int | None, typer.Option(help="Trials at once on one GPU. [1]")]
ExecutorName = Annotated[str | None, typer.Option("--executor", help="local or ray. [local]")]
RayAddress = Annotated[str | None, typer.Option(help="Address of a Ray cluster. [RAY_ADDRESS, else this machine]")]


@app.command()
def optimize(
    study: Study = "quickstart",
    trials: Annotated[
        int | None, typer.Option("--trials", "-n", help="Finished trials the study is to have in the end.")
    ] = None,
    jobs: Jobs = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="demo:en, demo:ru, a folder in LJSpeech layout, or a list of `path|text` lines."),
    ] = None,
    device: Device = None,
    devices: Devices = None,
    trials_per_device: TrialsPerDevice = None,
    executor: ExecutorName = None,
    ray_address: RayAddress = None,
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    name: Name = None,
    overrides: Overrides = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Only file the study; `smart-tuner worker` runs its trials, anywhere.")
    ] = False,
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
        devices=devices,
        trials_per_device=trials_per_device,
        executor=executor,
        ray_address=ray_address,
    )
    if detach:
        tuner.file(trials)
        typer.echo(f"Study {tuner.spec.name!r} is filed; `smart-tuner worker` runs its trials.")
        return
    from smart_tuner.report import print_next_steps, print_trials, show_best

    result = tuner.optimize(trials)
    console = _console()
    print_trials(tuner.study(), console)
    try:
        show_best(result, "table", console)
    finally:  # where no trial aligns one wants to look all the more
        print_next_steps(tuner.settings, console)


@app.command()
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
    settings = _settings(
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
    from smart_tuner.work import make_executor
    from smart_tuner.worker import run_worker

    count = run_worker(settings, make_executor(settings), _console(), studies or (), stay=stay)
    typer.echo(
        f"Done: {count} {'study' if count == 1 else 'studies'}."
        if count
        else "Nothing to do: every study has its trials, or is stopped."
    )


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
    tuner = _existing(study, name, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
    from smart_tuner.report import show_best

    show_best(tuner.result(), form, _console())


@app.command()
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
    tuner = _existing(study, name, workspace=workspace, storage=storage)
    from smart_tuner.report import print_trials, watch_trials

    if watch:
        watch_trials(tuner.study(), _console())
    else:
        print_trials(tuner.study(), _console())


@app.command()
def stop(
    study: Study = "quickstart",
    now: Annotated[
        bool, typer.Option("--now", help="Kill the trials: what came after their last checkpoint is lost.")
    ] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Stop a study, whoever works on it and wherever: its trials save and leave. `resume` continues it."""
    tuner = _existing(study, name, workspace=workspace, storage=storage)
    tuner.stop(now=now)
    typer.echo(
        f"Study {tuner.spec.name!r} is stopped; its workers see it within seconds. "
        f"`smart-tuner resume --study {tuner.spec.name}` continues it."
    )


@app.command()
def resume(
    study: Study = "quickstart",
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Let a stopped study go on, by the workers that there are."""
    tuner = _existing(study, name, workspace=workspace, storage=storage)
    tuner.resume()
    typer.echo(f"Study {tuner.spec.name!r} may go on; `smart-tuner worker` runs its trials.")


@app.command()
def delete(
    study: Study = "quickstart",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Delete a study: its trials, their folders with all checkpoints, and its TensorBoard logs. Asks first."""
    tuner = _existing(study, name, workspace=workspace, storage=storage)
    typer.echo(tuner.what_delete_would_do())
    if not yes:
        typer.confirm("Delete it?", abort=True)
    tuner.delete()
    typer.echo("Deleted. What MLflow has of it is kept.")


@app.command()
def upgrade(workspace: Workspace = None, storage: Storage = None) -> None:
    """Bring the tables of a store that an older Optuna made up to date. Nothing may use it meanwhile."""
    settings = _settings(workspace=workspace, storage=storage)
    from smart_tuner.store.storage import upgrade_storage

    typer.echo(str(upgrade_storage(settings.storage_url)))


@app.command()
def sync(
    study: Study = "quickstart",
    workspace: Workspace = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    name: Name = None,
) -> None:
    """Bring MLflow up to date with the study. Run twice, it changes nothing."""
    tuner = _existing(study, name, workspace=workspace, storage=storage, tracking_uri=tracking_uri)
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
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.spec import parse_overrides

    changes = parse_overrides(overrides or [])
    changes |= {key: value for key, value in (("name", name), ("corpus", corpus)) if value is not None}
    return SmartTunerMain(study, settings=_settings(**settings), overrides=changes)


def _existing(study: str, name: str | None, **settings: Any) -> "SmartTunerMain":
    """As `_tuner`, but a study that was filed is known by its name in the store, wherever its file may be."""
    from smart_tuner.errors import UserError
    from smart_tuner.main import SmartTunerMain
    from smart_tuner.store.storage import open_storage
    from smart_tuner.study import existing_study, spec_of

    loaded = _settings(**settings)
    if name is None and Path(study).suffix not in (".yaml", ".yml"):
        with suppress(UserError):  # said better below
            filed = existing_study(open_storage(loaded.storage_url, create=False), loaded.storage_url, study)
            return SmartTunerMain(spec_of(filed), settings=loaded)
    return _tuner(study, name, **settings)


def _settings(**given: Any) -> "Settings":
    import optuna

    from smart_tuner.config import load_settings

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # our own lines say what happens
    return load_settings(**given)


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
