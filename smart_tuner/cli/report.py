"""`smart-tuner report`: writes the report of a study."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from smart_tuner.cli.opening import existing_tuner
from smart_tuner.cli.options import Name, Storage, Study, Workspace


def report(
    study: Study = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write (default: WORKSPACE/reports/STUDY.html or .md)."),
    ] = None,
    form: Annotated[
        Literal["html", "md"] | None,
        typer.Option(
            "--format", "-f", help="One HTML file, or Markdown (default: by the ending of --output, else html)."
        ),
    ] = None,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Write a report: results, why trials were pruned, what it cost. One file that needs no network."""
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    from smart_tuner.pages.page_files import write_report

    chosen = form or ("md" if output is not None and output.suffix == ".md" else "html")
    path = output or tuner.settings.workspace / "reports" / f"{tuner.spec.name}.{chosen}"
    settings = tuner.settings
    typer.echo(write_report(tuner.study(), settings.workspace, path, chosen, settings.storage))
