"""The formats in which a voice can be exported, by name. Standard library alone."""

from collections.abc import Mapping
from pathlib import Path

from trainer.errors import VoiceError

SAFETENSORS = "safetensors"
ONNX = "onnx"
NVIDIA = "nvidia"

# The default name of each format's file.
FORMATS: Mapping[str, str] = {SAFETENSORS: "voice.safetensors", ONNX: "voice.onnx", NVIDIA: "nvidia.pt"}
_SUFFIXES = {".safetensors": SAFETENSORS, ".onnx": ONNX, ".pt": NVIDIA, ".pth": NVIDIA}


def format_for(path: Path, form: str | None, option: str) -> str:
    """The format of a file to write: `form` where it is given, else what the name of the file says.

    option: that gave the file, for errors. Raises VoiceError where neither says it, or the two contradict each other.
    """
    by_name = _SUFFIXES.get(path.suffix.lower())
    if form is None and by_name is None:
        raise VoiceError(
            f"{option} {path}: its name does not say the format; add --format, one of {', '.join(FORMATS)}."
        )
    if form is not None and by_name not in (None, form):
        raise VoiceError(f"{option} {path}: is a name for {by_name}, but --format is {form}; change one of them.")
    return str(form or by_name)
