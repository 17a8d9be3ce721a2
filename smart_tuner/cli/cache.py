"""`smart-tuner cache`: shows what the cache of a workspace holds, and removes what no study uses."""

import time
from typing import Annotated, Literal

import typer

from smart_tuner.cli.opening import make_console, settings_from
from smart_tuner.cli.options import Storage, Workspace

cache = typer.Typer(
    name="cache", help="The cache of a workspace: what it holds, and what may go.", no_args_is_help=True
)


@cache.command("ls")
def list_cache(
    form: Annotated[Literal["table", "json"], typer.Option("--format", "-f", help="Output format.")] = "table",
    workspace: Workspace = None,
    storage: Storage = None,
) -> None:
    """List features, speech of espeak-ng and unfinished work: size, age, corpus, and the studies that use each."""
    settings = settings_from(workspace=workspace, storage=storage)
    from smart_tuner.run.cache import cache_entries
    from smart_tuner.terminal.cache_table import cache_json, print_cache

    entries = cache_entries(settings, make_console(stderr=True))
    if form == "json":
        typer.echo(cache_json(entries))
    else:
        print_cache(entries, time.time(), make_console())


@cache.command()
def prune(
    older_than: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Only what was last used so many days ago.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
) -> None:
    """Remove what no study of the workspace uses and nobody is preparing. Asks first. All of it can be made again."""
    settings = settings_from(workspace=workspace, storage=storage)
    from smart_tuner.cache import unused
    from smart_tuner.run.cache import cache_entries, remove_entries
    from smart_tuner.terminal.cache_table import print_cache, size

    progress = make_console(stderr=True)
    chosen = unused(cache_entries(settings, progress), older_than, time.time())
    if not chosen:
        typer.echo("There is nothing to remove: each entry is used by a study, being prepared or too young.")
        return
    print_cache(chosen, time.time(), make_console())
    if dry_run:
        typer.echo("Nothing was removed (--dry-run).")
        return
    if not yes:
        typer.confirm("Remove these?", abort=True)
    removed = remove_entries(settings, chosen, progress)
    kept = f"; {len(chosen) - len(removed)} kept, since they are in use by now" if len(removed) < len(chosen) else ""
    typer.echo(f"Removed {len(removed)} of them, {size(sum(entry.bytes for entry in removed))}{kept}.")
