"""Which voice a command means: that of a study's best trial, of another trial, or one of its own; and the trainer's
commands that use it in the terminal.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smart_tuner.cli.opening import existing_tuner, settings_from

if TYPE_CHECKING:
    from rich.console import Console

    from smart_tuner.config import Settings
    from smart_tuner.spec import StudySpec

VoiceTrial = Annotated[int | None, typer.Option("--trial", "-n", help="A trial of it (default: the best).")]
VoiceFile = Annotated[
    str | None,
    typer.Option(
        "--voice",
        "--checkpoint",
        "-c",
        help="A voice instead of a trial's: a file (best.pt, voice.pt, .safetensors), the folder of a voice, or its "
        "name in the workspace.",
    ),
]

FromVoice = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="VOICE",
        help="Fine-tune this voice: a file (ours, or a checkpoint of NVIDIA/tacotron2), or a name in the workspace.",
    ),
]

# Of the commands that plan a whole voice.
Hours = Annotated[float | None, typer.Option(min=0.05, help="How long it may take in all.")]
Minutes = Annotated[float | None, typer.Option(min=3, help="The same in minutes.")]
Fixed = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting of all trials, e.g. text.language=de. Repeatable."),
]

Vocoder = Annotated[
    str | None,
    typer.Option(
        help="What makes the sounds: hifigan (extra `vocoder`), griffin-lim, or the file of a HiFi-GAN generator "
        "(default: HiFi-GAN where it is installed and fits)."
    ),
]


@dataclass(frozen=True)
class ChosenVoice:
    """spec: of the study whose trial has the voice; None: of a checkpoint by itself."""

    checkpoint: Path
    settings: "Settings"
    spec: "StudySpec | None" = None

    @property
    def folder(self) -> Path:
        """Where results about it belong: its trial or its own folder; the current one for a file by itself."""
        from smart_tuner.workspace import VOICE_FILE

        if self.spec is not None:
            return self.checkpoint.parents[1]
        return self.checkpoint.parent if self.checkpoint.name == VOICE_FILE else Path()


def choose_voice(
    *,
    study: str | None,
    trial: int | None,
    voice: str | None,
    name: str | None,
    workspace: Path | None,
    storage: str | None,
    console: "Console",
) -> ChosenVoice:
    """console: says which trial is the best. Raises UserError where options exclude each other, or there is none."""
    from smart_tuner.errors import UserError
    from smart_tuner.run.evaluation import trial_to_evaluate, voice_of

    if voice is not None:
        if study is not None or trial is not None or name is not None:
            raise UserError("--voice names a voice by itself; leave out --study, --trial and --name.")
        settings = settings_from(workspace=workspace, storage=storage)
        return ChosenVoice(voice_file(voice, settings.workspace), settings)
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    found, folder = tuner.study(), tuner.settings.workspace
    number = trial_to_evaluate(found, folder, console) if trial is None else trial
    return ChosenVoice(voice_of(found, number, folder), tuner.settings, tuner.spec)


def voice_file(given: str, workspace: Path, option: str = "--voice") -> Path:
    """given: by `option`, a file, a folder with a voice, or the name of one in the workspace.

    Raises UserError where there is none.
    """
    from smart_tuner.errors import UserError
    from smart_tuner.workspace import VOICE_FILE
    from smart_tuner.workspace import Workspace as Folders

    path = Path(given)
    named = Folders(workspace).voices / given / VOICE_FILE
    if path.is_file() or (path.suffix and not path.is_dir() and not named.is_file()):
        return path
    found = path / VOICE_FILE if path.is_dir() else named
    if not found.is_file():
        raise UserError(
            f"{option} {given}: {found} does not exist; give a file, the folder of a voice, or the name of one in "
            f"{named.parents[1]}{_known(named.parents[1])}."
        )
    return found


def _known(voices: Path) -> str:
    from smart_tuner.workspace import VOICE_FILE

    names = sorted(file.parent.name for file in voices.glob(f"*/{VOICE_FILE}"))
    return f", which has {', '.join(names)}" if names else ""


def hours_of(hours: float | None, minutes: float | None) -> float | None:
    """Raises UserError where both are given."""
    from smart_tuner.errors import UserError

    if hours is not None and minutes is not None:
        raise UserError("--hours and --minutes both say how long it may take; give one of them.")
    return minutes / 60 if minutes is not None else hours


def fixed_of(overrides: list[str] | None, from_voice: str | None, workspace: Path) -> dict[str, Any]:
    """The settings of all trials that `--set` and `--from` give. Raises UserError where there is no such voice."""
    from smart_tuner.spec import parse_overrides
    from smart_tuner.workspace import anchor

    fixed = {key.removeprefix("fixed."): value for key, value in parse_overrides(overrides or []).items()}
    if from_voice is not None:
        fixed["warm_start"] = anchor(str(voice_file(from_voice, workspace, "--from")))
    return fixed


def run_in_terminal(arguments: Sequence[str]) -> int:
    """`python -m trainer ARGUMENTS` in a process of its own, with our standard streams. Returns its exit code."""
    from smart_tuner.child_environment import Child, environment_for
    from smart_tuner.errors import Interrupted

    # -P: a folder called `trainer` in the working directory must not be imported in place of ours.
    command = [sys.executable, "-P", "-m", "trainer", *arguments]
    with subprocess.Popen(command, env=environment_for(Child.TRAINER)) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the process has received it, too
            process.wait()
            raise Interrupted("Stopped.") from None
