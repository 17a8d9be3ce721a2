"""`smart-tuner say`: lets a voice of a study speak."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from smart_tuner.cli.options import Name, Storage, Study, Workspace
from smart_tuner.cli.voices import Vocoder, VoiceCheckpoint, VoiceTrial, choose_voice


def say(
    text: Annotated[
        list[str] | None,
        typer.Argument(help="What to say; each argument becomes a file. Without any, standard input is one text."),
    ] = None,
    study: Study = None,
    trial: VoiceTrial = None,
    checkpoint: VoiceCheckpoint = None,
    texts: Annotated[Path | None, typer.Option("--texts", "-t", help="Say this file, one text per line.")] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "--output",
            "-o",
            help="A .wav, .flac or .ogg file (default: speech.wav), numbered where there are several texts; "
            "`-`: WAV on standard output, as it is spoken.",
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", "-p", help="Play it.")] = False,
    vocoder: Vocoder = None,
    workspace: Workspace = None,
    storage: Storage = None,
    name: Name = None,
) -> None:
    """Say a text with the best voice of a study, and write it to a sound file.

    A sentence that does not end, or loses its place, is spoken again, up to three times. A line for each sentence says
    how it went.
    """
    from rich.console import Console

    voice = choose_voice(
        study=study,
        trial=trial,
        checkpoint=checkpoint,
        name=name,
        workspace=workspace,
        storage=storage,
        console=Console(stderr=True),
    )
    options = {"texts": texts, "out": out, "vocoder": vocoder}
    given = [f"--{option}={value}" for option, value in options.items() if value is not None]
    played = ["--play"] if play else []
    raise typer.Exit(_speak(["say", *given, *played, "--", str(voice.checkpoint), *(text or [])]))


def _speak(arguments: list[str]) -> int:
    """The trainer speaks, in a process of its own, with our standard streams. Returns its exit code."""
    from smart_tuner.errors import Interrupted
    from smart_tuner.masking import without_secrets

    # -P: a folder called `trainer` in the working directory must not be imported in place of ours.
    command = [sys.executable, "-P", "-m", "trainer", *arguments]
    with subprocess.Popen(command, env=without_secrets(os.environ)) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the process has received it, too
            process.wait()
            raise Interrupted("Stopped.") from None
