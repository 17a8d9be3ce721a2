"""Runs trials until the study has its number."""

from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console, open_tuner
from smart_tuner.cli.options import Corpus, Given, LookAtCorpus, Name, Overrides, runs_trials


@runs_trials
def optimize(
    settings: Given,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            "-s",
            help="A study: path of a YAML file, the name of a shipped one, or of one in the store. [with --name: the "
            "store's study of this name, else quickstart]",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            "-n",
            help="Finished trials the study is to have in the end. [as many as it was last asked for, else as its "
            "definition says]",
        ),
    ] = None,
    corpus: Corpus = None,
    name: Name = None,
    overrides: Overrides = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Only file the study; `smart-tuner worker` runs its trials, anywhere.")
    ] = False,
    look: LookAtCorpus = True,
) -> None:
    """Run trials until the study has as many as asked for. Started again, it goes on where it was.

    Ctrl-C once: the trials save and leave, and the same command continues them. Twice: at once.
    """
    tuner = open_tuner(study, name, overrides, corpus, **settings)
    if detach:
        tuner.submit(trials, look=look)
        typer.echo(f"Study {tuner.spec.name!r} is filed; `smart-tuner worker` runs its trials.")
        return
    from smart_tuner.terminal.summary import print_next_steps, print_trials, show_best

    result = tuner.optimize(trials)
    console = make_console()
    print_trials(tuner.stored().view(), console)
    try:
        show_best(result, "table", console)
    finally:  # where no trial aligns one wants to look all the more
        print_next_steps(tuner.settings, console, tuner.spec.name if result.best or result.nearest else None)
