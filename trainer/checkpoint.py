"""Checkpoints: written beside and renamed, read without running code.

`last.pt` holds all that a run needs to go on to the same numbers; `best.pt` holds what is needed to
speak. Both are plain dictionaries of tensors, numbers and text. `previous.pt` is the `last.pt` before, for
the case that a fault of the disk tears that.
"""

import logging
from pathlib import Path
from typing import Any

import torch

from trainer.faults import is_out_of_memory
from trainer.files import write_atomically
from trainer.protocol import RunDir

log = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """The file is no checkpoint, or not a whole one."""


def save(path: Path, content: dict[str, Any], keep: Path | None = None) -> None:
    """Raises OSError where the disk is full; the old file is then still there. keep: the old file's name afterwards."""
    with write_atomically(path, keep) as beside:
        try:
            with beside.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # torch's, of its own bookkeeping, in place of what the file said
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def newest(run: RunDir, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """What the run has to go on from; None where it has nothing.

    Files that cannot be read are put aside as `.unreadable`, so that no save takes one for the one to keep.
    """
    for path in (run.last_checkpoint, run.previous_checkpoint):
        try:
            return load(path, device)
        except FileNotFoundError:
            continue
        except CheckpointError as error:
            log.warning("%s; it is kept as %s, what was saved before it serves", error, path.with_suffix(".unreadable"))
            path.replace(path.with_suffix(".unreadable"))
    return None


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
        if is_out_of_memory(error):  # nothing is wrong with the file
            raise
        raise CheckpointError(f"{path}: is no whole checkpoint ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no model.")
    return content
