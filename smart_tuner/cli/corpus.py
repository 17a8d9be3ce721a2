"""`smart-tuner corpus check`: whether a corpus is fit to train a voice on, and what to mend."""

from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console, settings_from
from smart_tuner.cli.options import Workspace

corpus = typer.Typer(name="corpus", help="Check and clean recordings and texts.", no_args_is_help=True)


@corpus.callback()
def _group() -> None:
    pass


@corpus.command()
def check(
    path: Annotated[str, typer.Argument(help="A folder of recordings, a list, or demo:en; as --corpus of `optimize`.")],
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with plots, and the ten worst clips to hear."),
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            "--fix",
            metavar="FOLDER",
            help="Write a cleaned copy: trimmed, resampled, mono, at one loudness, normalised texts; without the rows "
            "that cannot be used, which are listed.",
        ),
    ] = None,
    texts: Annotated[bool, typer.Option("--texts", help="Show all that reading changes in the texts.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A key of corpus, audio or text, e.g. text.language=ru. Repeatable."
        ),
    ] = None,
    workspace: Workspace = None,
) -> None:
    """Read all recordings and texts: what is there, what is wrong, what it is enough for. Nothing of it is changed.

    Exit code 0: clean; 1: with warnings; 2: unusable as it is.
    """
    import tempfile

    from smart_tuner.pages.corpus_check import write_check_page
    from smart_tuner.run.corpus_check import check_corpus, config_of
    from smart_tuner.spec import parse_overrides
    from smart_tuner.terminal.corpus_check import as_json, print_check
    from smart_tuner.workspace import Workspace as Folders

    _refuse_paths(path, html, fix)
    settings = settings_from(workspace=workspace)
    config = config_of(path, parse_overrides(overrides or []), Folders(settings.workspace))
    with tempfile.TemporaryDirectory(prefix="smart-tuner-") as folder:
        progress = make_console(stderr=True)
        found = check_corpus(config, Path(folder), progress, page=html is not None, texts=texts, fix=fix)
        if html is not None:
            write_check_page(found, html)
    if json:
        typer.echo(as_json(found))
    else:
        print_check(found, make_console())
    for written in (html, fix):
        if written is not None:
            typer.echo(written, err=json)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _refuse_paths(path: str, html: Path | None, fix: Path | None) -> None:
    """Before the recordings are read. An empty path, as of an unset variable, would be the current folder."""
    from smart_tuner.errors import UserError

    if not path:
        raise UserError("the path of the corpus is empty; give a folder, a list, or demo:en.")
    if fix == Path():
        raise UserError("--fix: names the current folder, or is empty; name a folder that does not exist.")
    if html is not None and html.exists() and not html.is_file():
        raise UserError(f"--html {html}: is not a file; name one for the page.")
