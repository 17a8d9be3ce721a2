"""What a check of a machine has found: the trainer writes it, the tuner reads it. Standard library only."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """From best to worst."""

    OK = "ok"
    NOTE = "note"  # good to know; nothing fails by it
    WARNING = "warning"  # something is slower, less safe, or will fail later
    ERROR = "error"  # something fails


@dataclass(frozen=True)
class Finding:
    """check: what was looked at, in two words; found: a sentence; mend: what to do, empty where nothing fails."""

    check: str
    state: State
    found: str
    mend: str = ""

    def __post_init__(self) -> None:
        if self.state in (State.WARNING, State.ERROR) and not self.mend:
            raise ValueError(f"A finding of state {self.state} must say what mends it, but got {self!r}.")


def worst(findings: Iterable[Finding]) -> State:
    order = list(State)
    return max((finding.state for finding in findings), key=order.index, default=State.OK)
