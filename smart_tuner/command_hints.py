"""Commands that are shown to people: the options with which a copy finds the study again, and how to train longer."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from smart_tuner.config import SecretUrl, Settings, variable
from smart_tuner.masking import masked
from smart_tuner.spec import StudySpec
from trainer.evaluation.verdict import Heard

LONGER_TRAINING = "To train it to a voice, which goes on from this trial:"  # and the command
LONGER_TRIALS = "To search with longer trials:"  # and the command


@dataclass(frozen=True)
class CommandHint:
    """options: quoted for a shell, each with a blank before it. first: what to do before the command, or empty."""

    options: str
    first: str


def command_hint(known: Settings, **named: Path | SecretUrl | None) -> CommandHint:
    """The options for those settings in `named` that differ from `known`, which the command has by itself.

    A URL that has or may have a password is never shown. Then `first` says which variable must be set.
    """
    differing = {key: value for key, value in named.items() if value is not None and value != getattr(known, key)}
    hidden = [variable(key) for key, value in differing.items() if _holds_secret(value)]
    options = [
        f" --{key.replace('_', '-')} {shlex.quote(_plain(value))}"
        for key, value in differing.items()
        if not _holds_secret(value)
    ]
    first = f"Set {' and '.join(hidden)} first, which may hold a password and is not shown here." if hidden else ""
    return CommandHint("".join(options), first)


def hint_for_readers(workspace: Path, storage: SecretUrl | None) -> CommandHint:
    """For commands that a reader of a page or a note copies, with any settings. workspace, storage: of the study."""
    return command_hint(Settings.model_construct(), workspace=workspace, storage=storage)


def try_like(spec: StudySpec, trial: int | str, options: str = "") -> str:
    """The command that enqueues a trial like this one; empty for a study of one setting. options: as of `CommandHint`.

    trial: its number, or a word for it.
    """
    return f"smart-tuner enqueue --study {spec.name} --like {trial} --set KEY=VALUE{options}" if spec.search else ""


def is_worth_training(heard: Heard | None) -> bool:
    """Whether more training of the same setting is the remedy: not for a voice that is mute, nor for a good one."""
    return heard not in (Heard.MUTE, Heard.GOOD)


def longer_trials(spec: StudySpec, options: str = "") -> str:
    """The command that searches anew, with five times the budget. options: as of `CommandHint`."""
    changed = f"--name {spec.name}-longer --set budget.frames={5 * spec.budget.frames:_}"
    return f"smart-tuner optimize --study {spec.name} {changed}{options}"


def train_longer(spec: StudySpec, options: str = "") -> str:
    """The command that trains the best setting of this study further. options: as of `CommandHint`."""
    name = "" if spec.search else f" --name {spec.name}-longer"  # a training has used the name of its voice
    return f"smart-tuner train --study {spec.name}{name}{options}"


def _plain(value: Path | SecretUrl) -> str:
    return str(value) if isinstance(value, Path) else value.get_secret_value()


def _holds_secret(value: Path | SecretUrl) -> bool:
    return isinstance(value, SecretUrl) and masked(_plain(value)) != _plain(value)
