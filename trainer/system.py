"""On which systems this runs: Linux, and macOS as far as that is like it. Windows lacks what both programs stand on:
locks of files that end with their process, signals, process groups. Standard library only, of any system.
"""

from importlib.util import find_spec

from trainer.errors import UserError


class OtherSystem(UserError):
    """This system cannot run it."""


def refuse_other_system() -> None:
    """Raises OtherSystem, in one sentence that says what to do."""
    if find_spec("fcntl") is None:
        raise OtherSystem(
            "Smart Tuner runs on Linux and macOS, not on Windows itself: install WSL (`wsl --install` in a terminal of "
            "Windows), and Smart Tuner within it."
        )
