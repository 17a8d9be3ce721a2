"""What a command that is told to people needs, so that it finds their study again once it is copied."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from smart_tuner.config import SecretUrl, Settings, variable
from smart_tuner.masking import masked


@dataclass(frozen=True)
class CommandHint:
    """options: as a shell takes them, each with a blank before it; first: what is to be done before, or nothing."""

    options: str
    first: str


def command_hint(known: Settings, **named: Path | SecretUrl | None) -> CommandHint:
    """Of settings, those that differ from what the command would know without being told; None: not named.

    A URL with a password, or what may be one, is nowhere shown: then the command works where its variable is set.
    """
    told = {key: value for key, value in named.items() if value is not None and value != getattr(known, key)}
    hidden = [variable(key) for key, value in told.items() if _hides_something(value)]
    options = [
        f" --{key.replace('_', '-')} {shlex.quote(_plain(value))}"
        for key, value in told.items()
        if not _hides_something(value)
    ]
    first = f"Set {' and '.join(hidden)} first, which may hold a password and is not shown here." if hidden else ""
    return CommandHint("".join(options), first)


def _plain(value: Path | SecretUrl) -> str:
    return str(value) if isinstance(value, Path) else value.get_secret_value()


def _hides_something(value: Path | SecretUrl) -> bool:
    return isinstance(value, SecretUrl) and masked(_plain(value)) != _plain(value)
