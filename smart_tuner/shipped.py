"""Where the files that come with the package lie: studies and the default settings."""

from pathlib import Path
from typing import Literal


def shipped(kind: Literal["studies", "config"]) -> Path:
    """The folder inside an installed wheel, else the one at the root of a source checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent / kind
