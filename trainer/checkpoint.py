"""Checkpoints: written beside and renamed, read without running code.

`last.pt` holds all that a run needs to go on to the same numbers; `best.pt` holds what is needed to
speak. Both are plain dictionaries of tensors, numbers and text.
"""

from pathlib import Path
from typing import Any

import torch

from trainer.protocol import write_atomically


class CheckpointError(RuntimeError):
    """The file is no checkpoint, or not a whole one."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Raises OSError where the disk is full; the old file is then still there."""
    with write_atomically(path) as beside:
        torch.save(content, beside)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Raises CheckpointError where the file cannot be understood, FileNotFoundError where it is not there."""
    content = read(path, device)
    if "model" not in content:
        raise CheckpointError(f"{path}: holds no model.")
    return content


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Any dictionary that was written by `torch.save`, of whoever's making. Raises as `load`."""
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises a dozen types for a torn file; all mean the same here
        raise CheckpointError(f"{path}: is no whole checkpoint ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no model.")
    return content
