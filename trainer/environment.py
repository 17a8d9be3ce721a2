"""What a run's figures depend on besides its configuration: versions, machine, device, commit of this code."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_LIBRARIES = ("numpy", "soxr")
_GIT_SECONDS = 5.0


def environment(device: torch.device) -> dict[str, str | int]:
    """The fields for the first event of a run; fields without a value are left out."""
    found = {
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        **{name: _version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "system": platform.platform(),
        "host": platform.node(),
        "commit": _commit(),
    }
    return {name: value for name, value in found.items() if value}


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this code, marked `-dirty` where files differ from it; None outside of a git repository."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
