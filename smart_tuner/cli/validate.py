"""`smart-tuner validate`: checks a study's definition and its corpus."""

from typing import Annotated

import typer

from smart_tuner.cli.completion import defined_studies
from smart_tuner.cli.options import CheckCorpus, Corpus, Overrides


def validate(
    study: Annotated[
        str,
        typer.Argument(help="Path of a YAML file, or the name of a shipped study.", autocompletion=defined_studies),
    ],
    corpus: Corpus = None,
    overrides: Overrides = None,
    check_corpus: CheckCorpus = True,
) -> None:
    """Check a study's keys and values, the lists and texts of its corpus, and that its recordings exist. Run nothing.

    The sound of the recordings is not read: `smart-tuner corpus check PATH` does that.
    """
    from smart_tuner.formatting import counted
    from smart_tuner.spec import load_study, parse_overrides

    spec = load_study(study, parse_overrides(overrides or []), {"corpus": corpus} if corpus is not None else {})
    typer.echo(f"{study}: fine. Its keys and values were checked; {counted(len(spec.search), 'parameter')} searched.")
    if not check_corpus:
        return
    import shlex

    from smart_tuner.cli.opening import make_console
    from smart_tuner.run.corpus import check_corpus_of

    found = check_corpus_of(spec, make_console())
    if not found:
        typer.echo(f"{spec.corpus}: fine. It is embedded, and written when the study begins.")
        return
    clips = f"{counted(found['train'], 'clip')} to train and {found['validation']} to validate"
    typer.echo(f"{spec.corpus}: {found['layout']}.")
    typer.echo(
        f"{spec.corpus}: fine, {clips}. Its lists and texts were checked, and that its recordings exist; not their "
        f"sound: smart-tuner corpus check {shlex.quote(spec.corpus)}"
    )
