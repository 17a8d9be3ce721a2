"""The callback by which long work on a corpus reports how far it is."""

from collections.abc import Callable

OnProgress = Callable[[int, int, str], None]  # done, total, what is being done


def no_progress(done: int, total: int, what: str) -> None:
    """Report to nobody."""
