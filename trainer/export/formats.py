"""The formats in which a voice can be exported, by name. Standard library alone."""

from collections.abc import Mapping
from pathlib import Path

SAFETENSORS = "safetensors"
ONNX = "onnx"
NVIDIA = "nvidia"

# The default name of each format's file.
FORMATS: Mapping[str, str] = {SAFETENSORS: "voice.safetensors", ONNX: "voice.onnx", NVIDIA: "nvidia.pt"}
_SUFFIXES = {".safetensors": SAFETENSORS, ".onnx": ONNX, ".pt": NVIDIA, ".pth": NVIDIA}


def format_of(path: Path) -> str | None:
    """By the end of its name; None where that says nothing."""
    return _SUFFIXES.get(path.suffix.lower())
