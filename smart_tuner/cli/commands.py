"""All commands. A command imports what it needs when it runs, so that `--help` answers at once."""

import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from smart_tuner.cli.best import best
from smart_tuner.cli.cache import cache
from smart_tuner.cli.corpus import corpus
from smart_tuner.cli.delete import delete
from smart_tuner.cli.doctor import doctor
from smart_tuner.cli.enqueue import enqueue
from smart_tuner.cli.evaluate import evaluate
from smart_tuner.cli.export import export
from smart_tuner.cli.init import init
from smart_tuner.cli.listen import listen
from smart_tuner.cli.notify import notify
from smart_tuner.cli.optimize import optimize
from smart_tuner.cli.report import report
from smart_tuner.cli.resume import resume
from smart_tuner.cli.say import say
from smart_tuner.cli.status import status
from smart_tuner.cli.stop import stop
from smart_tuner.cli.studies import studies
from smart_tuner.cli.sync import sync
from smart_tuner.cli.train import train
from smart_tuner.cli.ui import ui
from smart_tuner.cli.upgrade import upgrade
from smart_tuner.cli.validate import validate
from smart_tuner.cli.voice import voice
from smart_tuner.cli.worker import worker

# In the order in which `--help` lists them.
_COMMANDS = (
    voice,
    init,
    optimize,
    worker,
    enqueue,
    studies,
    status,
    best,
    train,
    evaluate,
    say,
    export,
    ui,
    report,
    listen,
    stop,
    resume,
    delete,
    sync,
    upgrade,
    validate,
    doctor,
)


class _Commands(TyperGroup):
    """Reports Ctrl-C; typer alone exits without a message."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            from smart_tuner.errors import Interrupted

            raise Interrupted("Stopped.") from error


app = typer.Typer(
    name="smart-tuner",
    cls=_Commands,
    help="Tune the training of a Tacotron 2 voice: Optuna searches, trials whose attention does not align are "
    "stopped early, and the best parameters are shown here and in MLflow.",
    epilog="Start with: smart-tuner voice demo:en --minutes 10 (it synthesises a small corpus; no recordings needed).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"smart-tuner {version('smart-tuner')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The options of `smart-tuner` itself; its help is that of `app`."""


def _help(docstring: str) -> str:
    """With each paragraph as one line: rich breaks lines for the terminal, and keeps those that are there."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _command in _COMMANDS:
    app.command(help=_help(_command.__doc__ or ""))(_command)
app.add_typer(cache)
app.add_typer(corpus)
app.add_typer(notify)
