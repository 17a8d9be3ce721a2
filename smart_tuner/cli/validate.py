"""Checks a study's definition."""

from typing import Annotated

import typer

from smart_tuner.cli.options import Overrides


def validate(
    study: Annotated[str, typer.Argument(help="Path of a YAML file, or the name of a shipped study.")],
    overrides: Overrides = None,
) -> None:
    """Check a study's definition, and run nothing."""
    from smart_tuner.spec import load_study, parse_overrides

    spec = load_study(study, parse_overrides(overrides or []))
    typer.echo(f"{study}: fine. {len(spec.search)} parameters are searched: {', '.join(spec.search)}.")
