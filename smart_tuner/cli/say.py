"""`smart-tuner say`: lets a voice of a study speak."""

from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.opening import make_console
from smart_tuner.cli.options import Name, Storage, Study, Workspace
from smart_tuner.cli.voices import Vocoder, VoiceFile, VoiceTrial, choose_voice, run_in_terminal


def say(
    text: Annotated[
        list[str] | None,
        typer.Argument(help="What to say; each argument becomes a file. Without any, standard input is one text."),
    ] = None,
    study: Study = None,
    trial: VoiceTrial = None,
    voice: VoiceFile = None,
    texts: Annotated[
        Path | None, typer.Option("--texts", "-t", help="Say this file, one text per line; blank lines do not count.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "--output",
            "-o",
            help="A .wav, .flac or .ogg file (default: speech.wav), numbered in the order of the "
            "texts where there are several; `-`: WAV on standard output, as it is spoken.",
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", "-p", help="Play it.")] = False,
    vocoder: Vocoder = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu, cuda, one such as cuda:1, or auto: a GPU if there is one; it takes seconds to start, and pays "
            "for long texts (default: cpu)."
        ),
    ] = None,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Say a text with the best voice of a study, and write it to a sound file.

    A sentence that does not end, or loses its place, is spoken again, up to three times. A line for each sentence says
    how it went.
    """
    chosen = choose_voice(
        study=study,
        trial=trial,
        voice=voice,
        name=name,
        workspace=workspace,
        storage=storage,
        console=make_console(stderr=True),
    )
    options = {"texts": texts, "out": out, "vocoder": vocoder, "device": device}
    given = [f"--{option}={value}" for option, value in options.items() if value is not None]
    played = ["--play"] if play else []
    raise typer.Exit(run_in_terminal(["say", *given, *played, "--", str(chosen.checkpoint), *(text or [])]))
