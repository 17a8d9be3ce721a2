"""`smart-tuner export`: a voice as one file, for other machines and programs."""

from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console
from smart_tuner.cli.options import Name, Storage, Study, Workspace
from smart_tuner.cli.voices import VoiceFile, VoiceTrial, choose_voice, run_in_terminal
from trainer.export.formats import FORMATS, SAFETENSORS, format_for

_Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        help=f"{', '.join(FORMATS)} (default: by the name of -o; {SAFETENSORS} without -o); onnx needs an extra.",
    ),
]


def export(
    study: Study = None,
    trial: VoiceTrial = None,
    voice: VoiceFile = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "--output", "-o", help=f"File to write (default: {' or '.join(FORMATS.values())})."),
    ] = None,
    form: _Format = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Licence of the recordings, which the file then names."),
    ] = None,
    vocoder: Annotated[
        str | None,
        typer.Option(help="For onnx: put the vocoder into the file, too: hifigan, or the file of a generator."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Write a voice as one file: weights, configuration, symbols, figures, and what it was trained on.

    safetensors: `say`, `evaluate` and `warm_start` read it. onnx: speaks without this program. nvidia: a checkpoint
    of NVIDIA/tacotron2. Such checkpoints become voices by `python -m trainer import`.
    """
    chosen_form, target = _form_and_file(form, out)
    chosen = choose_voice(
        study=study,
        trial=trial,
        voice=voice,
        name=name,
        workspace=workspace,
        storage=storage,
        console=make_console(stderr=True),
    )
    given = {"to": target, "format": chosen_form, "licence": licence, "vocoder": vocoder}
    options = [f"--{option}={value}" for option, value in given.items() if value is not None]
    forced = ["--force"] if force else []
    raise typer.Exit(run_in_terminal(["export", *options, *forced, "--", str(chosen.checkpoint)]))


def _form_and_file(form: str | None, out: Path | None) -> tuple[str, Path]:
    """Raises UserError for an unknown format, and VoiceError for a name of a file that says none or another one."""
    from smart_tuner.errors import UserError

    if form is not None and form not in FORMATS:
        raise UserError(f"--format {form}: must be one of {', '.join(FORMATS)}.")
    if out is None:
        return form or SAFETENSORS, Path(FORMATS[form or SAFETENSORS])
    return format_for(out, form, "-o"), out
