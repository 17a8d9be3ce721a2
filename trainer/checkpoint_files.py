"""Checkpoints: written atomically, read without running code.

`last.pt` holds all that a run needs to resume to the same numbers; `best.pt` holds what is needed to speak. Both are
plain dictionaries of tensors, numbers and text. `previous.pt` is the `last.pt` before, in case a disk fault tears
`last.pt`. `reported.pt` and `aligned.pt`, to which corrections go back, are earlier `last.pt`; they need no space of
their own as long as they are the same.
"""

import logging
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from trainer.exit_codes import is_out_of_memory
from trainer.files import NO_LINKS, write_atomically
from trainer.protocol import RunDir

log = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """The file is no checkpoint, or is incomplete."""


def save(path: Path, content: dict[str, Any], keep: Path | None = None) -> None:
    """Raises OSError where the disk is full; the old file stays then. keep: where the old file is kept."""
    with write_atomically(path, keep) as beside:
        try:
            with beside.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # torch's own error hides the file's OSError
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def save_again(path: Path, name: Path, keep: Path | None = None) -> None:
    """Give the file `path` another name in its folder, as `save` would write it there; without hard links, copy it."""
    with write_atomically(name, keep) as beside:
        try:
            beside.hardlink_to(path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            shutil.copyfile(path, beside)


def newest(run: RunDir, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The newest readable checkpoint of the run; None where it has none.

    Files that cannot be read are renamed to `.unreadable`, so that the next save does not keep one as `previous.pt`.
    """
    for path in (run.last_checkpoint, run.previous_checkpoint):
        try:
            return load(path, device)
        except FileNotFoundError:
            continue
        except CheckpointError as error:
            log.warning(
                "%s; it is kept as %s, and the checkpoint before is used", error, path.with_suffix(".unreadable")
            )
            path.replace(path.with_suffix(".unreadable"))
    return None


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Raises CheckpointError where the file is no checkpoint, FileNotFoundError where it does not exist."""
    content = read(path, device)
    if "model" not in content:
        raise CheckpointError(f"{path}: holds no model.")
    return content


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Any dictionary that `torch.save` wrote, also in another program. Raises as `load`."""
    try:
        if _unpacks_to_more(path):
            raise CheckpointError(f"{path}: is compressed, which `torch.save` never does; save it again by that.")
        content = torch.load(path, map_location=device, weights_only=True)
    except (FileNotFoundError, CheckpointError):
        raise
    except Exception as error:  # torch raises a dozen types for a torn file
        if is_out_of_memory(error):  # nothing is wrong with the file
            raise
        # torch's own text is long, and advises `weights_only=False`, which would run code from the file.
        raise CheckpointError(f"{path}: is no checkpoint, or an incomplete one ({type(error).__name__}).") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no model.")
    return content


def is_whole(value: Any) -> bool:
    """Whether it is a tensor whose numbers are all in the file: a view may repeat one number beyond all memory."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _unpacks_to_more(path: Path) -> bool:
    """Whether it is an archive, as torch writes them, that holds more than its own size: up to more than the memory."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return sum(each.file_size for each in archive.infolist()) > path.stat().st_size
