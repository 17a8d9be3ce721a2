"""Why trials were stopped early, as a handful of causes that can be counted; the whole reason stays with the trial.

The beginnings are those of the sentences in `pruning`, `verdict` and `slot`.
"""

from enum import StrEnum


class Cause(StrEnum):
    ATTENTION = "attention"
    LOSS = "loss"
    DIVERGED = "divergence"
    MEMORY = "lack of memory"
    TIME = "lack of time"
    OTHER = "other reasons"


_BEGINNINGS = {
    "attention does not align": Cause.ATTENTION,
    "loss too high": Cause.LOSS,
    "diverged": Cause.DIVERGED,
    "out of memory": Cause.MEMORY,
    "took longer than": Cause.TIME,
}


def cause_of(reason: str) -> Cause:
    """Of a pruned trial, by its reason."""
    return next((cause for beginning, cause in _BEGINNINGS.items() if reason.startswith(beginning)), Cause.OTHER)
