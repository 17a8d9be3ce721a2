"""Files of tensors and JSON that other programs read, too: safetensors, with a check of everything in them.

Reading one executes nothing: the file holds numbers and text. Each entry of its metadata besides `format`,
`format_version` and `sha256` is JSON. Does not cover what a voice consists of (`trainer.voice_format`).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.checkpoint_files import CheckpointError
from trainer.files import write_atomically

SUFFIX = ".safetensors"
FORMAT = "smart-tuner-voice"
VERSION = 1  # of the format; a file of a later version is refused

_LENGTH_BYTES = 8  # of the header, at the beginning of the file


def is_one(path: Path) -> bool:
    """Whether the file is one, or claims to be by its name. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        start = file.read(_LENGTH_BYTES + 1)
    return path.suffix == SUFFIX or start[_LENGTH_BYTES:] == b"{"


def save(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Replaces `path` as a whole. Raises OSError where it cannot be written; the old file stays then."""
    from safetensors.torch import save as to_bytes

    dense = {name: tensor.contiguous() for name, tensor in tensors.items()}
    entries = {key: json.dumps(value, ensure_ascii=False) for key, value in about.items()}
    header = {"format": FORMAT, "format_version": str(VERSION), "sha256": _digest(dense, entries)}
    content = to_bytes(dense, {**header, **entries})
    with write_atomically(path) as beside:
        beside.write_bytes(content)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors on the CPU, and the metadata. Raises CheckpointError where the file is not what `save` wrote."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = path.read_bytes()
    try:
        tensors = load(content)
        metadata = _metadata(content)
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: a type of numbers that torch lacks
        raise CheckpointError(
            f"{path}: is no safetensors file, or an incomplete one ({_one_line(error)}); get or export it again."
        ) from error
    return tensors, _checked(path, tensors, metadata)


def _metadata(content: bytes) -> dict[str, str]:
    """Of a file that safetensors has accepted."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    found: dict[str, str] = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length]).get("__metadata__", {})
    return found


def _checked(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> dict[str, Any]:
    if metadata.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path}: is a safetensors file, but no voice; give one that `smart-tuner export` wrote.")
    version = metadata.pop("format_version", "")
    if version != str(VERSION):
        raise CheckpointError(
            f"{path}: has the format version {version!r}, and this program reads {str(VERSION)!r}; install a newer one."
        )
    if metadata.pop("sha256", "") != _digest(tensors, metadata):
        raise CheckpointError(f"{path}: is damaged (its checksum is another one); get or export it again.")
    try:
        return {key: json.loads(value) for key, value in metadata.items()}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata is no JSON ({_one_line(error)}); export it again.") from error


def _digest(tensors: Mapping[str, Tensor], entries: Mapping[str, str]) -> str:
    """SHA-256 of the metadata and of all numbers with their names, types and shapes."""
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
