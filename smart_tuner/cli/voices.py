"""Which voice a command means: that of a study's best trial, of another trial, or a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smart_tuner.cli.opening import existing_tuner, settings_from

if TYPE_CHECKING:
    from rich.console import Console

    from smart_tuner.config import Settings
    from smart_tuner.spec import StudySpec

VoiceTrial = Annotated[int | None, typer.Option("--trial", "-n", help="A trial of it (default: the best).")]
VoiceCheckpoint = Annotated[
    Path | None, typer.Option("--checkpoint", "-c", help="The voice in this best.pt, instead of a trial's.")
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


def choose_voice(
    *,
    study: str | None,
    trial: int | None,
    checkpoint: Path | None,
    name: str | None,
    workspace: Path | None,
    storage: str | None,
    console: "Console",
) -> ChosenVoice:
    """console: says which trial is the best. Raises UserError where options exclude each other, or there is none."""
    from smart_tuner.errors import UserError
    from smart_tuner.run.evaluation import trial_to_evaluate, voice_of

    if checkpoint is not None:
        if study is not None or trial is not None or name is not None:
            raise UserError("--checkpoint names a voice by itself; leave out --study, --trial and --name.")
        return ChosenVoice(checkpoint, settings_from(workspace=workspace, storage=storage))
    tuner = existing_tuner(study, name, workspace=workspace, storage=storage)
    found, folder = tuner.study(), tuner.settings.workspace
    number = trial_to_evaluate(found, folder, console) if trial is None else trial
    return ChosenVoice(voice_of(found, number, folder), tuner.settings, tuner.spec)
