"""`smart-tuner optimize`: runs trials until the study has as many as asked for."""

from typing import Annotated, Literal

import typer

from smart_tuner.cli.completion import all_studies
from smart_tuner.cli.opening import all_its_trials, make_console, open_tuner, starting, store_options
from smart_tuner.cli.options import CheckCorpus, Corpus, Given, Name, Overrides, WarmStart, runs_trials


@runs_trials
def optimize(
    settings: Given,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            "-s",
            help="A study: the path of a YAML file, the name of a shipped study, or the name of a study in the store "
            "(default: the study named by --name in the store, else quickstart).",
            autocompletion=all_studies,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            "-n",
            help="Run until the study has this many finished trials (default: the number of the last request, else of "
            "its definition).",
        ),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(help="Run at most so long, from now on (default: `hours` of its definition, else no limit)."),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            help="Run until all trials of the study together, on all machines and also before, have trained so many "
            "mel frames (default: `frames` of its definition, else no limit)."
        ),
    ] = None,
    until: Annotated[
        Literal["settled"] | None,
        typer.Option(
            help="settled: begin no further trial once one passes and the next one is expected to gain less than seeds "
            "alone differ (default: `until` of its definition, else go on)."
        ),
    ] = None,
    corpus: Corpus = None,
    name: Name = None,
    overrides: Overrides = None,
    warm_start: WarmStart = None,
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Only submit the study; `smart-tuner worker` runs its trials, on any machine."),
    ] = False,
    check_corpus: CheckCorpus = True,
) -> None:
    """Run trials until the study has as many as asked for. The same command continues a study.

    With --hours or --frames it ends with whichever comes first: trials that run then save their state, a line says why
    it has ended, and further hours or more frames go on with them.
    A study that has as many already is not run: a line says so, and the exit code is that of its end, 0 or 3.
    Ctrl-C once: the trials save their state and exit, and the same command continues them. Twice: exit at once.
    """
    with starting():
        from smart_tuner.store.control import GivenBudget
        from smart_tuner.terminal.summary import print_next_steps, print_trials, refuse_infeasible, show_best

        given = GivenBudget(trials, hours, frames, until_settled=until is not None)
        given.refuse_useless()
        tuner = open_tuner(study, name, overrides, corpus, warm_start, **settings)
        is_finished = tuner.is_finished(given.trials, until_settled=given.until_settled)
    if is_finished:
        typer.echo(all_its_trials(tuner))
        refuse_infeasible(tuner.result(), tuner.spec, store_options(tuner.settings))
        return
    if detach:
        tuner.submit(**vars(given), check_corpus=check_corpus)
        typer.echo(f"Study {tuner.spec.name!r} is submitted; `smart-tuner worker` runs its trials.")
        return
    result = tuner.optimize(**vars(given))
    console = make_console()
    print_trials(tuner.stored().view(), console)
    try:
        show_best(result, "table", console, tuner.spec, store_options(tuner.settings))
    finally:  # also if no trial is feasible, which is worth a closer look
        print_next_steps(tuner.settings, console, tuner.spec.name if result.best or result.nearest else None)
