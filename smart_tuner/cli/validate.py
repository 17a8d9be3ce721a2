"""`smart-tuner validate`: checks a study's definition and its corpus."""

from typing import Annotated

import typer

from smart_tuner.cli.options import CheckCorpus, Corpus, Overrides


def validate(
    study: Annotated[str, typer.Argument(help="Path of a YAML file, or the name of a shipped study.")],
    corpus: Corpus = None,
    overrides: Overrides = None,
    check_corpus: CheckCorpus = True,
) -> None:
    """Check a study's definition and its corpus, and run nothing."""
    from smart_tuner.spec import load_study, parse_overrides

    spec = load_study(study, parse_overrides(overrides or []), {"corpus": corpus} if corpus is not None else {})
    typer.echo(f"{study}: fine. {len(spec.search)} parameters are searched: {', '.join(spec.search)}.")
    if not check_corpus:
        return
    from smart_tuner.cli.opening import make_console
    from smart_tuner.formatting import counted
    from smart_tuner.run.corpus import check_corpus_of

    found = check_corpus_of(spec, make_console())
    clips = f"{counted(found['train'], 'clip')} to train and {found['validation']} to validate" if found else "embedded"
    if found:
        typer.echo(f"{spec.corpus}: {found['layout']}.")
    typer.echo(f"{spec.corpus}: fine, {clips}; the sound itself is read when the study begins.")
