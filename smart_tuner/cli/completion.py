"""What a shell offers for `--study`: the studies of a store in a file, and those that are defined here or shipped.

A server is not asked: a shell must not wait for one. What cannot be read is offered as nothing.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import typer

_SQLITE = "sqlite:///"
_SECONDS = 0.2  # that a writer may hold the file


def stored_studies(ctx: typer.Context, incomplete: str) -> list[str]:
    return [name for name in _stored(ctx.params) if name.startswith(incomplete)]


def defined_studies(incomplete: str) -> list[str]:
    from smart_tuner.spec import known_studies

    return [name for name in known_studies() if name.startswith(incomplete)]


def all_studies(ctx: typer.Context, incomplete: str) -> list[str]:
    return sorted({*stored_studies(ctx, incomplete), *defined_studies(incomplete)})


def _stored(given: dict[str, Any]) -> Iterator[str]:
    """given: the options so far."""
    from smart_tuner.config import load_settings
    from smart_tuner.errors import UserError

    with suppress(UserError, sqlite3.Error):
        url = load_settings(workspace=given.get("workspace"), storage=given.get("storage")).storage_url
        if url.startswith(_SQLITE):
            file = Path(url.removeprefix(_SQLITE)).absolute().as_uri()
            with closing(sqlite3.connect(f"{file}?mode=ro", uri=True, timeout=_SECONDS)) as store:
                yield from [name for (name,) in store.execute("SELECT study_name FROM studies ORDER BY study_name")]
